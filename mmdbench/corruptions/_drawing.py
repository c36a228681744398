"""Lines and text, drawn to the same pixels by every OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_line", "draw_text", "text_size"]

Image = NDArray[np.uint8]
Point = Sequence[int]

_SHIFT = 16
_BASELINE = 9

# Hershey fonts, Roman simplex (see NOTICE). Pairs of characters, each minus "R" gives x, y, y down;
# the first pair is the left and right bearing; the pair " R" lifts the pen.
_GLYPHS = {
    "A": "I[RFJ[ RRFZ[ RMTWT",
    "C": "H]ZKYIWGUFQFOGMILKKNKSLVMXOZQ[U[WZYXZV",
    "D": "G\\KFK[ RKFRFUGWIXKYNYSXVWXUZR[K[",
    "E": "H[LFL[ RLFYF RLPTP RL[Y[",
    "F": "HZLFL[ RLFYF RLPTP",
    "G": "H]ZKYIWGUFQFOGMILKKNKSLVMXOZQ[U[WZYXZVZS RUSZS",
    "H": "G]KFK[ RYFY[ RKPYP",
    "I": "NVRFR[",
    "K": "G\\KFK[ RYFKT RPOY[",
    "O": "G]PFNGLIKKJNJSKVLXNZP[T[VZXXYVZSZNYKXIVGTFPF",
    "P": "G\\KFK[ RKFTFWGXHYJYMXOWPTQKQ",
    "R": "G\\KFK[ RKFTFWGXHYJYLXNWOTPKP RRPY[",
    "T": "JZRFR[ RKFYF",
    "V": "I[JFR[ RZFR[",
    "X": "H\\KFY[ RYFK[",
    "Y": "I[JFRPR[ RZFRP",
    "0": "H\\QFNGLJKOKRLWNZQ[S[VZXWYRYOXJVGSFQF",
    "1": "H\\NJPISFS[",
    "2": "H\\LKLJMHNGPFTFVGWHXJXLWNUQK[Y[",
    "3": "H\\MFXFRNUNWOXPYSYUXXVZS[P[MZLYKW",
    "4": "H\\UFKTZT RUFU[",
    "5": "H\\WFMFLOMNPMSMVNXPYSYUXXVZS[P[MZLYKW",
    "6": "H\\XIWGTFRFOGMJLOLTMXOZR[S[VZXXYUYTXQVOSNRNOOMQLT",
    "7": "H\\YFO[ RKFYF",
    "8": "H\\PFMGLILKMMONSOVPXRYTYWXYWZT[P[MZLYKWKTLRNPQOUNWMXKXIWGTFPF",
    "9": "H\\XMWPURRSQSNRLPKMKLLINGQFRFUGWIXMXRWWUZR[P[MZLX",
}


def draw_line(image: Image, start: Point, end: Point, color: Sequence[int], thickness: int) -> None:
    """Draw a straight 8-connected line from (x, y) to (x, y), both included, into the image."""
    if thickness == 1:
        cv2.line(image, (start[0], start[1]), (end[0], end[1]), tuple(color), 1, cv2.LINE_8)
        return
    # From 4.13 on, `cv2.line` clips thick lines at the border in another way; polylines does not.
    points = np.array([start, end], dtype=np.int32) << _SHIFT
    cv2.polylines(image, [points], False, tuple(color), thickness, cv2.LINE_8, _SHIFT)


def draw_text(
    image: Image, text: str, origin: Point, scale: float, color: Sequence[int], thickness: int
) -> None:
    """Draw text in Hershey Simplex; `origin` is the left end of the baseline, 21·scale px the height.

    As OpenCV 4's `putText` does for a thickness of at least 2 px; OpenCV 5 has another font.
    """
    unit = round(65536 * scale)
    pen_x, pen_y = origin[0] << _SHIFT, (origin[1] << _SHIFT) - _BASELINE * unit
    for letter in text:
        left, right, strokes = _glyph(letter)
        pen_x -= left * unit
        # OpenCV takes no coordinates beyond 32,767 px, where nothing is visible.
        points = [np.clip(stroke * unit + (pen_x, pen_y), -(2**31), 2**31 - 1) for stroke in strokes]
        curves = [one.astype(np.int32) for one in points]
        cv2.polylines(image, curves, False, tuple(color), thickness, cv2.LINE_8, _SHIFT)
        pen_x += right * unit


def text_size(text: str, scale: float, thickness: int) -> tuple[int, int]:
    """Width and height in px as OpenCV 4 gives them for Hershey Simplex (OpenCV 5 gives others)."""
    advance = sum(right - left for left, right, _ in map(_glyph, text))
    return round(scale * advance + thickness), round(21 * scale + (thickness + 1) // 2)


@cache
def _glyph(letter: str) -> tuple[int, int, list[NDArray[np.int64]]]:
    """The left and right bearing of a letter and its strokes as (x, y) points."""
    code = _GLYPHS[letter]
    left, right = ord(code[0]) - ord("R"), ord(code[1]) - ord("R")
    strokes = [
        [(ord(x) - ord("R"), ord(y) - ord("R")) for x, y in zip(stroke[::2], stroke[1::2], strict=True)]
        for stroke in code[2:].split(" R")
    ]
    return left, right, [np.array(stroke, dtype=np.int64) for stroke in strokes]
