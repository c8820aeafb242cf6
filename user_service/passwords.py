"""Password hashes: Argon2id, off the event loop, and only a few at a time."""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from user_service.sessions.domain import TooManySignIns

# 19 MiB, two passes, one lane: the OWASP Password Storage Cheat Sheet's first choice,
# https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#argon2id
OWASP = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)

MAX_WAITING = 64

Result = TypeVar("Result")


class Passwords:
    """Hashes and verifies. Each takes a core for some 20 ms, so the waiting line is short.

    Raises:
        TooManySignIns: (hash, verify) the waiting line is full.
    """

    def __init__(
        self,
        *,
        at_once: int,
        max_waiting: int = MAX_WAITING,
        hasher: PasswordHasher = OWASP,
    ) -> None:
        self._hasher = hasher
        self._executor = ThreadPoolExecutor(at_once, thread_name_prefix="argon2")
        self._places = at_once + max_waiting
        self._taken = 0
        # What a password is compared with when there is no such user: as much work as any other.
        self._nobodys_hash = hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """A salted hash, to be stored."""
        return await self._run(lambda: self._hasher.hash(_prepared(password)))

    async def verify(self, stored_hash: str | None, password: str) -> bool:
        """Whether this is the password. Without a hash it is not, after the same work."""

        def is_right() -> bool:
            try:
                return self._hasher.verify(stored_hash or self._nobodys_hash, _prepared(password))
            except (VerificationError, InvalidHashError):
                return False

        return await self._run(is_right) and stored_hash is not None

    async def rehash(self, stored_hash: str, password: str) -> str | None:
        """A new hash of a right password, if the stored one has other parameters than ours."""
        if not self._hasher.check_needs_rehash(stored_hash):
            return None
        return await self.hash(password)

    def close(self) -> None:
        """Let running hashes finish; drop the waiting ones."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._taken >= self._places:
            raise TooManySignIns
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._taken -= 1


def _prepared(password: str) -> str:
    """The same characters however a keyboard composes them (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)
