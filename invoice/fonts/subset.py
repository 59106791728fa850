#!/usr/bin/python3
"""Makes the documents' faces from Noto Sans: fewer characters, another name, a
placeholder glyph, no hinting, no layout tables.

Usage: subset.py NotoSans-Regular.ttf NotoSans-SemiBold.ttf OUTPUT_DIRECTORY

Needs fontTools (Debian: python3-fonttools). The same input gives the same bytes.
"""
import sys
from pathlib import Path

from fontTools import subset
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont

FAMILY = "Invoice Sans"

RANGES = [
    (0x0020, 0x007E), (0x00A0, 0x024F), (0x0259, 0x0259),  # Latin
    (0x02BB, 0x02BD), (0x02C6, 0x02C7), (0x02D8, 0x02DD),
    (0x0300, 0x0331),  # combining marks, for what has no composed form
    (0x0370, 0x03FF), (0x0400, 0x052F),  # Greek, Cyrillic
    (0x1E00, 0x1EFF),  # Latin Extended Additional: Vietnamese, Tshivenda
    (0x2010, 0x2015), (0x2018, 0x2022), (0x2026, 0x2026), (0x2030, 0x2033), (0x2039, 0x203A),
    (0x2044, 0x2044), (0x2070, 0x2071), (0x2074, 0x208E), (0x20A0, 0x20BF), (0x2116, 0x2117),
    (0x2122, 0x2122), (0x2126, 0x2126), (0x212E, 0x212E), (0x2150, 0x215E), (0x2212, 0x2212),
    (0x2215, 0x2215), (0x2248, 0x2248), (0x2260, 0x2260), (0x2264, 0x2265),
]
PLACEHOLDER = 0x25A1  # WHITE SQUARE, which Noto Sans does not have


def add_placeholder(font: TTFont) -> None:
    """Adds a square as high as a capital, with the width of a wide letter."""
    pen = TTGlyphPen(None)
    for a, b, clockwise in ((70, 644, True), (120, 594, False)):
        corners = [(a, a), (a, b), (b, b), (b, a)]
        pen.moveTo(corners[0])
        for corner in corners[1:] if clockwise else reversed(corners[1:]):
            pen.lineTo(corner)
        pen.closePath()
    font.setGlyphOrder(font.getGlyphOrder() + ["placeholder"])
    font["glyf"]["placeholder"] = pen.glyph()
    font["hmtx"]["placeholder"] = (714, 70)
    for table in font["cmap"].tables:
        table.cmap[PLACEHOLDER] = "placeholder"


def make(source: Path, style: str, target: Path) -> None:
    font = TTFont(source, recalcTimestamp=False)
    options = subset.Options(
        layout_features=[], hinting=False, glyph_names=False, notdef_outline=True, recommended_glyphs=False,
        drop_tables=["GDEF", "GPOS", "GSUB", "STAT", "GlyphOrder", "gasp", "DSIG"], name_IDs=[0, 13, 14])
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[c for first, last in RANGES for c in range(first, last + 1)])
    subsetter.subset(font)
    add_placeholder(font)

    # The licence forbids the original's name for what was changed.
    for ident, text in ((1, f"{FAMILY} {style}"), (2, "Regular"), (3, f"{FAMILY} {style}"), (4, f"{FAMILY} {style}"),
                        (6, f"{FAMILY} {style}".replace(" ", ""))):
        font["name"].setName(text, ident, 3, 1, 0x409)
    font["post"].formatType = 3.0
    font.save(target)
    print(f"{target}: {len(font.getBestCmap())} characters, {target.stat().st_size} bytes")


if __name__ == "__main__":
    regular, semibold, directory = map(Path, sys.argv[1:])
    make(regular, "Regular", directory / "InvoiceSans-Regular.ttf")
    make(semibold, "SemiBold", directory / "InvoiceSans-SemiBold.ttf")
