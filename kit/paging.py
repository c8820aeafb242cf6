"""Keyset paging: a page token says where the last page ended, and for which question."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from kit.errors import InvalidArgument

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200

Row = TypeVar("Row")


class InvalidPageToken(InvalidArgument):
    """This page token is not one that the same list gave."""


def page_size(requested: int) -> int:
    """How many to read: the default for 0, never more than the limit."""
    return min(requested or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def encode(key: Sequence[str], question: str) -> str:
    """A token for the row with this sort key; `question` is the list's filter."""
    return base64.urlsafe_b64encode(json.dumps([_digest(question), *key]).encode()).decode()


def decode(token: str, question: str, length: int) -> list[str] | None:
    """The sort key in a token: `length` strings, or None for the first page."""
    if not token:
        return None
    try:
        digest, *key = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, TypeError):
        raise InvalidPageToken.of("page_token") from None
    parts = [part for part in key if isinstance(part, str) and _is_text(part)]
    if digest != _digest(question) or len(key) != length or len(parts) != length:
        raise InvalidPageToken.of("page_token")
    return parts


def moment(part: str) -> datetime:
    """The time in a part of a decoded key."""
    try:
        found = datetime.fromisoformat(part)
    except ValueError:
        raise InvalidPageToken.of("page_token") from None
    if found.tzinfo is None:
        raise InvalidPageToken.of("page_token")
    return found


def cut(
    rows: Sequence[Row], size: int, question: str, key: Callable[[Row], Sequence[Any]]
) -> tuple[Sequence[Row], str]:
    """One page and the next page's token, from up to `size` + 1 rows."""
    if len(rows) <= size:
        return rows, ""
    page = rows[:size]
    return page, encode([str(part) for part in key(page[-1])], question)


def _is_text(part: str) -> bool:
    """Whether PostgreSQL can compare with it: JSON may hold U+0000 and halves of characters."""
    return "\0" not in part and not any("\ud800" <= character <= "\udfff" for character in part)


def _digest(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:12]
