"""Fonts that a PDF may embed: for every character the first font that has it, cut down to the characters in use.

A PDF must carry its fonts, or an archive cannot show it. Latin text is set in the font that ReportLab brings; for
others (Chinese, Greek, Cyrillic) a font of this machine is looked for, or the one that `billing.font` names.
"""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from breakeven.errors import Place, UsageError

# In order of liking; the first of each machine is taken. (name of the file, which font of a collection)
_CHINESE = (
    ("NotoSansCJK-Regular.ttc", "Noto Sans CJK SC"),
    ("NotoSansCJKsc-Regular.otf", ""),
    ("NotoSansSC-Regular.otf", ""),
    ("NotoSansSC-Regular.ttf", ""),
    ("SourceHanSansSC-Regular.otf", ""),
    ("SourceHanSansCN-Regular.otf", ""),
    ("wqy-microhei.ttc", ""),
    ("DroidSansFallbackFull.ttf", ""),
    ("PingFang.ttc", "PingFang SC"),
    ("STHeiti Light.ttc", "Heiti SC"),
    ("msyh.ttc", "Microsoft YaHei"),
    ("simsun.ttc", "SimSun"),
)
_OTHER = (("DejaVuSans.ttf", ""), ("NotoSans-Regular.ttf", ""), ("Arial Unicode.ttf", ""), ("arial.ttf", ""))
_FOLDERS = {
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": ("C:/Windows/Fonts",),
    "linux": ("~/.local/share/fonts", "~/.fonts", "/usr/local/share/fonts", "/usr/share/fonts"),
}
_RESTRICTED = 0x0002  # OS/2 fsType: the maker forbids embedding
_CID = "STSong-Light"  # known to every reader by name, embedded by none: better than empty boxes
_MISSING = "?"


@dataclass(frozen=True)
class Face:
    """A font as ReportLab knows it: name, and the characters it has (None: whatever is left over)."""

    name: str
    characters: frozenset[int] | None
    embedded: bool = True


class Faces:
    """The fonts of one document."""

    def __init__(self, text: Iterable[str], *, language: str, declared: str | None) -> None:
        """`text`: everything that will be set, so that fonts carry no more than that."""
        self._needed = {ord(sign) for part in text for sign in part}
        self._faces = list(_faces(self._needed, language, declared))

    @property
    def embedded(self) -> bool:
        """Whether all that is needed stands in the file."""
        return all(face.embedded for face in self._faces)

    def markup(self, text: str, *, bold: bool = False) -> str:
        """The text as ReportLab's paragraph markup: escaped, each run in a font that has it."""
        runs: list[tuple[str, str]] = []
        for sign in text:
            name, sign = self._of(sign, bold)
            if runs and runs[-1][0] == name:
                runs[-1] = (name, runs[-1][1] + sign)
            else:
                runs.append((name, sign))
        return "".join(f'<font name="{name}">{escape(part)}</font>' for name, part in runs)

    def _of(self, sign: str, bold: bool) -> tuple[str, str]:
        for face in self._faces:
            if face.characters is None or ord(sign) in face.characters:
                return (_BOLD.get(face.name, face.name) if bold else face.name), sign
        return self._faces[0].name, _MISSING


_BOLD = {"Vera": "VeraBd"}


def _faces(needed: set[int], language: str, declared: str | None) -> Iterator[Face]:
    """Those fonts that at least one needed character comes from; Chinese pages prefer one font for everything."""
    latin = _latin()
    if declared is not None:
        path = Path(declared).expanduser()
        if not path.is_file():
            raise UsageError("invoice-font", at=Place(file=str(path)))
        found = [_cut(path, "", needed, asked=True)]
    else:
        found = []
    order = [*found, *_machine(_CHINESE, needed), latin] if language == "zh" else [*found, latin]
    left = set(needed)
    for face in order:
        yield face
        left -= face.characters or frozenset()
    for table in (_OTHER, _CHINESE):
        if left:
            for face in _machine(table, left):
                yield face
                left -= face.characters or frozenset()
    if any(0x2E80 <= sign <= 0x9FFF for sign in left):
        yield _not_embedded()


def _latin() -> Face:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    for name in ("Vera", "VeraBd"):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    return Face("Vera", frozenset(pdfmetrics.getFont("Vera").face.charToGlyph) - {0})


def _not_embedded() -> Face:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont

    if _CID not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(UnicodeCIDFont(_CID))
    return Face(_CID, None, embedded=False)


def _machine(table: tuple[tuple[str, str], ...], needed: set[int]) -> Iterator[Face]:
    """The first font of the table that this machine has and whose maker lets it be embedded."""
    here = _installed()
    for name, inside in table:
        if name in here:
            try:
                yield _cut(here[name], inside, needed)
            except UsageError:  # broken, or not to be embedded: the next one
                continue
            return


@functools.cache
def _installed() -> dict[str, Path]:
    """Font files of this machine by name; the user's own come first."""
    known = {name for name, _ in (*_CHINESE, *_OTHER)}
    found: dict[str, Path] = {}
    for folder in _FOLDERS.get(sys.platform, _FOLDERS["linux"]):
        for place, _, names in os.walk(Path(folder).expanduser()):
            for name in known.intersection(names) - found.keys():
                found[name] = Path(place) / name
    return found


def _cut(path: Path, inside: str, needed: set[int], *, asked: bool = False) -> Face:
    """A font of the needed characters only, registered; its name says what is in it."""
    from fontTools.ttLib import TTLibError
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFError, TTFont

    try:
        font = _open(path, inside)
        if font["OS/2"].fsType & _RESTRICTED and not asked:
            raise UsageError("invoice-font", at=Place(file=str(path)))
        held = frozenset(needed & font.getBestCmap().keys())
        name = "F" + sha256(f"{path} {inside} {sorted(held)}".encode()).hexdigest()[:16]
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, io.BytesIO(_subset(font, held))))
    except (OSError, TTLibError, TTFError, KeyError, AttributeError) as error:
        raise UsageError("invoice-font", at=Place(file=str(path))) from error
    return Face(name, held)


def _open(path: Path, inside: str) -> Any:
    from fontTools.ttLib import TTCollection
    from fontTools.ttLib import TTFont as Font

    with path.open("rb") as stream:
        collection = stream.read(4) == b"ttcf"
    if not collection:
        return Font(path, lazy=True, recalcTimestamp=False)
    fonts = TTCollection(path, lazy=True).fonts
    chosen = next((font for font in fonts if inside and font["name"].getDebugName(4) == inside), fonts[0])
    chosen.recalcTimestamp = False
    return chosen


def _subset(font: Any, characters: frozenset[int]) -> bytes:
    """The font with these characters alone, with TrueType outlines, which is what ReportLab embeds."""
    from fontTools.subset import Options, Subsetter

    options = Options(layout_features=[], hinting=False, name_IDs=[1, 2, 4, 6], notdef_outline=True)
    options.drop_tables += ["FFTM", "GSUB", "GPOS", "GDEF", "kern", "meta"]
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=characters | {0x20})
    subsetter.subset(font)
    if "glyf" not in font:
        _to_truetype(font)
    sink = io.BytesIO()
    font.flavor = None
    font.save(sink)
    return sink.getvalue()


def _to_truetype(font: Any) -> None:
    """Cubic outlines (OpenType, CFF) become quadratic ones, to within half a thousandth of the em."""
    from fontTools.pens.cu2quPen import Cu2QuPen
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from fontTools.ttLib import newTable

    order, glyphs, outlines = font.getGlyphOrder(), font.getGlyphSet(), {}
    error = font["head"].unitsPerEm / 2000
    for name in order:
        pen = TTGlyphPen(glyphs)
        glyphs[name].draw(Cu2QuPen(pen, error, reverse_direction=True))
        outlines[name] = pen.glyph()
    font["loca"], table = newTable("loca"), newTable("glyf")
    table.glyphOrder, table.glyphs = order, outlines
    font["glyf"] = table
    for tag in ("CFF ", "CFF2", "VORG"):
        if tag in font:
            del font[tag]
    maximum = font["maxp"]
    maximum.tableVersion = 0x00010000
    for field in ("maxZones", "maxTwilightPoints", "maxStorage", "maxFunctionDefs", "maxInstructionDefs",
                  "maxStackElements", "maxSizeOfInstructions", "maxPoints", "maxContours", "maxCompositePoints",
                  "maxCompositeContours", "maxComponentElements", "maxComponentDepth"):  # fmt: skip
        setattr(maximum, field, 1 if field == "maxZones" else 0)
    font["post"].formatType = 3.0
    font.sfntVersion = "\x00\x01\x00\x00"
