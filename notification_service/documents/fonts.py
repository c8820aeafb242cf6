"""The typefaces of the PDF: which scripts they cover, cut down once per process to be fast."""

import atexit
import importlib
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
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

ALPHABETS = tuple(
    map(
        frozenset,
        (
            [*range(0x20, 0x7F), 0xA0, 0x2013, 0x2019, 0x2026, 0x20AC],  # on nearly every ticket
            [*range(0xA1, 0xAD), *range(0xAE, 0x100)],  # western Europe's, less the soft hyphen
            [*range(0x100, 0x180), *range(0x218, 0x21C)],  # the rest of Europe's Latin
            range(0x1E00, 0x1F00),  # Vietnamese and others
            range(0x370, 0x400),  # Greek
            range(0x400, 0x530),  # Cyrillic
            [*range(0x2010, 0x2040), *range(0x20A0, 0x20C0), 0x2116, 0x2122, 0x2212],  # signs
        ),
    )
)
"""Characters that come together: a document has all of one of these, or none. The first comes
always.
"""

# What most tickets are written in, and letters stand side by side in.
_COMMON: frozenset[int] = frozenset().union(*ALPHABETS)

_LAYOUT_TABLES = ("GSUB", "GPOS", "GDEF")
_NEEDLESS_TABLES = ("DSIG", "fpgm", "prep", "cvt ", "gasp")  # signatures, hints for old screens


@dataclass(frozen=True, slots=True, eq=False)  # there is one of each
class Face:
    """A font file and the characters it has.

    `advances` says how wide those are, in thousandths of the text's size.
    """

    path: Path
    characters: frozenset[int]
    advances: Mapping[int, int]


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
        if self.text.characters.issuperset(map(ord, text)):
            return text
        return "".join(map(self._show_character, text))

    def _show_character(self, character: str) -> str:
        if ord(character) in self.text.characters or ord(character) in self.code.characters:
            return character
        return "" if character in JOINERS else MISSING


def select(texts: Iterable[str]) -> Selection:
    """The simplest typefaces that show all of `texts`."""
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
        scale, widths = 1000 / font["head"].unitsPerEm, font["hmtx"].metrics
        advances = {
            code: math.floor(widths[name][0] * scale + 0.5)
            for code, name in font.getBestCmap().items()
        }
        return Face(path, frozenset(advances), advances)


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
