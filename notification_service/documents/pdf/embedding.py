"""Typefaces as a PDF carries them (ISO 32000-1, 9.7), made once and then copied into each document.

A document gets the alphabets it uses, not the letters: there are few combinations of those, and the
next document finds its own made. Codes in the text are those of Unicode (UTF-16), so that nothing
has to be numbered anew.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

from notification_service.documents.fonts import ALPHABETS, Face

OBJECTS_PER_FONT = 6
_FONTS_KEPT = 100  # some 25 kB each
_LEFT_OUT = ("GSUB", "GPOS", "GDEF", "kern", "OS/2", "name", "post", "cmap")
_RANGES_PER_BLOCK = 100  # the most a CMap may have between `begin` and `end`

# Flags of a font descriptor (ISO 32000-1, table 123).
_FIXED_PITCH, _SYMBOLIC, _FORCE_BOLD = 1, 1 << 2, 1 << 18
_BOLD = 600  # from this weight on (OpenType, OS/2)


@dataclass(frozen=True, slots=True)
class EmbeddedFont:
    """The bodies of a font's objects; `{n}` stands for the number of its n-th object."""

    bodies: tuple[tuple[str, bytes], ...]  # a dictionary, and the stream that belongs to it

    def objects(self, first: int) -> list[bytes]:
        """Its objects, numbered from `first` on; the first one is what a page refers to."""
        numbers = {f"n{index}": first + index for index in range(OBJECTS_PER_FONT)}
        return [
            write_object(first + index, template.format(**numbers), stream)
            for index, (template, stream) in enumerate(self.bodies)
        ]


def write_object(number: int, dictionary: str, stream: bytes = b"") -> bytes:
    """An object of a PDF file, with its stream if it has one."""
    body = dictionary.encode()
    if stream:
        body += b"\nstream\n" + stream + b"\nendstream"
    return b"%d 0 obj\n%b\nendobj\n" % (number, body)


def embed(face: Face, text: Iterable[str]) -> EmbeddedFont:
    """What a document needs of a typeface to show these characters."""
    used = ({ord(character) for character in text} & face.characters) - ALPHABETS[0]
    alphabets = frozenset(alphabet for alphabet in ALPHABETS[1:] if alphabet & used)
    rare = used.difference(*alphabets)
    return _embed(face, ALPHABETS[0].union(rare, *alphabets) & face.characters)


@lru_cache(_FONTS_KEPT)
def _embed(face: Face, codes: frozenset[int]) -> EmbeddedFont:
    with TTFont(face.path, recalcTimestamp=False) as font:
        names = font.getBestCmap()
        options = Options(
            notdef_outline=True, hinting=False, glyph_names=False, drop_tables=list(_LEFT_OUT)
        )
        subsetter = Subsetter(options)
        subsetter.populate(glyphs=[names[code] for code in codes])
        name = str(font["name"].getDebugName(6))
        descriptor = _descriptor(name, font)
        subsetter.subset(font)
        program = BytesIO()
        font.save(program)
        glyphs = {code: font.getGlyphID(names[code]) for code in codes}
    type0 = (
        f"<</Type/Font/Subtype/Type0/BaseFont/TESSRA+{name}/Encoding/Identity-H"
        "/DescendantFonts[{n1} 0 R]/ToUnicode {n5} 0 R>>"
    )
    cid = (
        f"<</Type/Font/Subtype/CIDFontType2/BaseFont/TESSRA+{name}"
        "/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"
        f"/FontDescriptor {{n2}} 0 R/DW 1000/W[{_widths(face, codes)}]/CIDToGIDMap {{n4}} 0 R>>"
    )
    return EmbeddedFont(
        (
            (type0, b""),
            (cid, b""),
            (descriptor, b""),
            _stream(program.getvalue(), f"/Length1 {len(program.getvalue())}"),
            _stream(_glyph_map(glyphs)),
            _stream(_to_unicode(codes)),
        )
    )


def _descriptor(name: str, font: TTFont) -> str:
    head, across, about = font["head"], font["hhea"], font["OS/2"]
    flags = _SYMBOLIC
    flags |= _FIXED_PITCH if font["post"].isFixedPitch else 0
    flags |= _FORCE_BOLD if about.usWeightClass >= _BOLD else 0
    box = (head.xMin, head.yMin, head.xMax, head.yMax)
    left, bottom, right, top, ascent, descent, capital = (
        round(value * 1000 / head.unitsPerEm)
        for value in (*box, across.ascent, across.descent, about.sCapHeight)
    )
    return (
        f"<</Type/FontDescriptor/FontName/TESSRA+{name}/Flags {flags}"
        f"/FontBBox[{left} {bottom} {right} {top}]/ItalicAngle 0/Ascent {ascent}/Descent {descent}"
        f"/CapHeight {capital}/StemV {50 + about.usWeightClass**2 // 65**2}/FontFile2 {{n3}} 0 R>>"
    )


def _stream(content: bytes, more: str = "") -> tuple[str, bytes]:
    packed = zlib.compress(content, 9)
    return f"<</Length {len(packed)}{more}/Filter/FlateDecode>>", packed


def _widths(face: Face, codes: Iterable[int]) -> str:
    """The widths of consecutive codes, run by run."""
    runs: list[list[int]] = []
    for code in sorted(codes):
        if runs and code == runs[-1][-1] + 1:
            runs[-1].append(code)
        else:
            runs.append([code])
    return "".join(
        f"{run[0]}[{' '.join(str(face.advances[code]) for code in run)}]" for run in runs
    )


def _glyph_map(glyphs: dict[int, int]) -> bytes:
    """From each code to its glyph: two bytes each, for all codes up to the last one."""
    table = bytearray(2 * (max(glyphs) + 1))
    for code, glyph in glyphs.items():
        table[2 * code : 2 * code + 2] = glyph.to_bytes(2, "big")
    return bytes(table)


def _to_unicode(codes: Iterable[int]) -> bytes:
    """That codes are characters, for who copies or searches text. A range has one high byte."""
    highs = sorted({code >> 8 for code in codes})
    ranges = [f"<{high:02X}00><{high:02X}FF><{high:02X}00>" for high in highs]
    assert len(ranges) <= _RANGES_PER_BLOCK
    lines = [
        "/CIDInit/ProcSet findresource begin 12 dict begin begincmap",
        "/CIDSystemInfo<</Registry(Adobe)/Ordering(UCS)/Supplement 0>>def",
        "/CMapName/Adobe-Identity-UCS def/CMapType 2 def",
        "1 begincodespacerange<0000><FFFF>endcodespacerange",
        f"{len(ranges)} beginbfrange",
        *ranges,
        "endbfrange endcmap CMapName currentdict/CMap defineresource pop end end",
    ]
    return "\n".join(lines).encode()
