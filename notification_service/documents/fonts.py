"""The typefaces of the PDF: which scripts they cover, cut down once per process to be fast."""

import atexit
import importlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from fontTools.subset import (
    Options,
    Subsetter,
)
from fontTools.ttLib import TTFont

from notification_service.documents.wording import JOINERS

MISSING = "\N{WHITE SQUARE}"
"""Stands for a character that no typeface here has: visibly something, never nothing."""

# What most tickets are written in: parsing 900 characters instead of 2,500 halves a PDF's time.
_COMMON = frozenset(
    [
        *[*range(0x20, 0x7F), *range(0xA0, 0xAD), *range(0xAE, 0x180)],  # Latin, less soft hyphen
        *[*range(0x218, 0x21C), *range(0x1E00, 0x1F00)],  # Romanian, Vietnamese and others
        *range(0x370, 0x530),  # Greek and Cyrillic
        *[*range(0x2010, 0x2040), *range(0x20A0, 0x20C0), 0x2116, 0x2122, 0x2212],  # signs, money
    ]
)

_LAYOUT_TABLES = ("GSUB", "GPOS", "GDEF")
_NEEDLESS_TABLES = ("DSIG", "fpgm", "prep", "cvt ", "gasp")  # signatures, hints for old screens


@dataclass(frozen=True, slots=True)
class Face:
    """A font file and the characters it has."""

    path: Path
    characters: frozenset[int]


@dataclass(frozen=True, slots=True)
class Faces:
    """All typefaces. `world` is `common` with every script it knows and the tables to join them.

    `code` sets ticket codes, telling 0 from O, and lends its symbols (hearts, notes) to the rest.
    """

    common: Face
    common_bold: Face
    world: Face
    world_bold: Face
    code: Face


@dataclass(frozen=True, slots=True)
class Selection:
    """The typefaces one document needs.

    `shaping` says whether its letters join, stack or run from right to left.
    """

    text: Face
    bold: Face
    code: Face
    shaping: bool

    def show(self, text: str) -> str:
        """`text` with a visible mark in the place of each character that cannot be drawn."""
        return "".join(map(self._show_character, text))

    def _show_character(self, character: str) -> str:
        if ord(character) in self.text.characters or ord(character) in self.code.characters:
            return character
        return "" if character in JOINERS else MISSING


def select(texts: Iterable[str]) -> Selection:
    """The fewest typefaces that show all of `texts`: each one costs milliseconds a document."""
    faces = load_faces()
    used = {ord(character) for text in texts for character in text}
    # Joiners ask for nothing by themselves: between two emoji they are of no use here.
    rest = used - faces.common.characters - {ord(joiner) for joiner in JOINERS}
    shaping = bool(rest & faces.world.characters)
    return Selection(
        text=faces.world if shaping else faces.common,
        bold=faces.world_bold if shaping else faces.common_bold,
        code=faces.code,
        shaping=shaping,
    )


_lock = threading.Lock()
_loaded: list[Faces] = []


def load_faces() -> Faces:
    """The typefaces, prepared at the first call in a process (a quarter of a second)."""
    with _lock:
        if not _loaded:
            _loaded.append(_prepare())
        return _loaded[0]


def _prepare() -> Faces:
    """Write the typefaces to a folder of this process: the PDF and shaping libraries want files."""
    folder = Path(tempfile.mkdtemp(prefix="tessera-fonts-"))
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # a forked child may still be drawing with them
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)

    def face(name: str, module: str, prepare: Callable[[TTFont], None]) -> Face:
        return _write(folder / f"{name}.ttf", module, prepare)

    return Faces(
        common=face("common", "FiraGO_Regular", _keep_common),
        common_bold=face("common-bold", "FiraGO_Bold", _keep_common),
        world=face("world", "FiraGO_Regular", _keep_all),
        world_bold=face("world-bold", "FiraGO_Bold", _keep_all),
        code=face("code", "CascadiaMono_Bold", _keep_code),
    )


def _write(path: Path, module: str, prepare: Callable[[TTFont], None]) -> Face:
    data: bytes = importlib.import_module(f"pymupdf_fonts.{module}").fontbuffer
    # The file's own timestamp is kept: the same ticket gives the same bytes tomorrow.
    with TTFont(BytesIO(data), recalcTimestamp=False) as font:
        prepare(font)
        font["OS/2"].fsSelection &= 0x7F  # higher bits mean nothing before version 4 of the table
        font.save(path)
        return Face(path, frozenset(font.getBestCmap()))


def _keep_common(font: TTFont) -> None:
    _drop(font, *_LAYOUT_TABLES, *_NEEDLESS_TABLES)
    _cut(font, _COMMON)


def _keep_all(font: TTFont) -> None:
    _drop(font, *_NEEDLESS_TABLES)


def _keep_code(font: TTFont) -> None:
    _drop(font, *_LAYOUT_TABLES, *_NEEDLESS_TABLES)
    _cut(font, {*range(0x20, 0x7F), *range(0x2190, 0x2800)})


def _drop(font: TTFont, *tables: str) -> None:
    for table in tables:
        if table in font:
            del font[table]


def _cut(font: TTFont, characters: Iterable[int]) -> None:
    subsetter = Subsetter(Options(notdef_outline=True, recommended_glyphs=True, hinting=False))
    subsetter.populate(unicodes=characters)
    subsetter.subset(font)
