"""Draw the pictures of docs/concepts.md from the code that they explain.

They show the cells that a design visits, intervals by number of questions, and the parts of a recipe.
`--check` only tells if the files are current.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from mmdbench.corruptions import get_corruption_names
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.records import Question, RunPlan
from mmdbench.stats import detectable_effect, half_width
from mmdbench.variants.design import corruptions_for

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images"
INK, FAINT, BLUE, RED, PAPER = "#263238", "#cfd8dc", "#00796b", "#d84315", "#fafafa"
SIZES = {100: "100", 218: "218, MM-Vet", 500: "500", 1500: "1,500, MMStar", 2974: "2,974"}


@dataclass(frozen=True)
class Toy:
    """A benchmark of 160 empty questions."""

    name: str = "toy"
    family: str = "plain"
    questions: tuple[Question, ...] = tuple(Question("toy", index, {"category": "c"}) for index in range(160))


def svg(width: int, height: int, parts: list[str]) -> str:
    """An SVG picture on a light ground, so that it can be read on a dark page as well."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'
    ground = f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>'
    return "\n".join([head, ground, *parts, "</svg>", ""])


def text(x: float, y: float, words: str, *, size: int = 13, anchor: str = "start", fill: str = INK) -> str:
    """A line of text."""
    safe = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{safe}</text>'


def designs(rows: int = 10, side: int = 12) -> str:
    """A grid of questions × corruptions for each design, filled where the design asks."""
    bench = Toy()
    names = get_corruption_names()
    parts, left = [], 20
    for design in ("mixed", "balanced:4", "grid"):
        plan = RunPlan(model="m", benches=("toy",), design=design)
        met = corruptions_for(plan, bench, load_spec())
        parts.append(text(left, 28, design, size=16))
        for row in range(rows):
            for column, name in enumerate(names):
                fill = BLUE if name in met[row] else FAINT
                at = f'x="{left + column * side}" y="{44 + row * side}"'
                parts.append(f'<rect {at} width="{side - 2}" height="{side - 2}" rx="2" fill="{fill}"/>')
        each = len(met[0])
        told = f"{each} picture{'s' if each > 1 else ''} per question and level"
        parts.append(text(left, 44 + rows * side + 18, told))
        left += len(names) * side + 36
    parts.append(
        text(
            20,
            44 + rows * side + 42,
            "Down: questions. Across: the 16 corruptions. Every level asks the same cells.",
        )
    )
    return svg(left - 16, 44 + rows * side + 58, parts)


def uncertainty() -> str:
    """Intervals of a drop of two points by number of questions, if one answer in ten flips."""
    scale, zero, top, parts = 38.0, 330.0, 60, []
    drop = 2.0
    parts.append(
        text(20, 28, "A drop of 2 points, and its 95 % interval when 10 % of the answers flip", size=16)
    )
    for points in range(-4, 9, 2):
        x = zero + points * scale
        line = f'x1="{x:g}" x2="{x:g}" y1="{top - 10}" y2="{top + len(SIZES) * 34}"'
        parts.append(f'<line {line} stroke="{FAINT}" stroke-width="{3 if points == 0 else 1}"/>')
        parts.append(text(x, top + len(SIZES) * 34 + 18, f"{points:+d}" if points else "0", anchor="middle"))
    for place, (n, label) in enumerate(SIZES.items()):
        y, half = top + 14 + place * 34, 100 * half_width(n)
        colour = BLUE if half < drop else RED
        ends = f'x1="{zero + (drop - half) * scale:.1f}" x2="{zero + (drop + half) * scale:.1f}"'
        parts.append(f'<line {ends} y1="{y}" y2="{y}" stroke="{colour}" stroke-width="4"/>')
        parts.append(f'<circle cx="{zero + drop * scale:g}" cy="{y}" r="6" fill="{colour}"/>')
        parts.append(text(20, y + 5, label))
        found = 100 * detectable_effect(n)
        parts.append(text(700, y + 5, f"finds {found:.1f} points", fill=colour))
    parts.append(text(20, top - 14, "questions", fill="#607d8b"))
    parts.append(text(zero, top + len(SIZES) * 34 + 40, "points lost, clean → hard", anchor="middle"))
    return svg(830, top + len(SIZES) * 34 + 56, parts)


def recipe() -> str:
    """The steps from a picture to the key of a reply."""
    boxes = [
        (20, "clean pixels", ["shape, type and RGB", "as SHA-256"]),
        (190, "what to do", ["corruption, intensity,", "profile, spec, seed"]),
        (360, "sample", ["every number that is", "drawn, as JSON"]),
        (530, "apply", ["the same pixels on", "any machine"]),
        (700, "codec", ["jpeg:95, webp:Q", "or png"]),
    ]
    parts = [text(20, 28, "A degraded picture is a recipe of 200 bytes", size=16)]
    for place, (left, title, lines) in enumerate(boxes):
        fill = BLUE if title in ("sample", "apply") else "#455a64"
        parts.append(f'<rect x="{left}" y="46" width="146" height="92" rx="6" fill="{fill}"/>')
        parts.append(text(left + 73, 74, title, size=15, anchor="middle", fill="#ffffff"))
        for row, words in enumerate(lines):
            parts.append(text(left + 73, 100 + 19 * row, words, size=12, anchor="middle", fill="#ffffff"))
        if place:
            sign = "+" if place == 1 else "→"
            parts.append(text(left - 12, 98, sign, size=18, anchor="middle"))
    words = (
        "recipe + prompt + model fingerprint + generation settings → the key under which a reply is stored"
    )
    parts.append(text(20, 172, words))
    return svg(866, 190, parts)


def main() -> int:
    """Write the pictures, or compare them; 1 if one is out of date."""
    made = {"designs.svg": designs(), "uncertainty.svg": uncertainty(), "recipe.svg": recipe()}
    if "--check" not in sys.argv:
        for name, content in made.items():
            (TARGET / name).write_text(content, encoding="utf-8")
        return 0
    stale = [name for name, content in made.items() if (TARGET / name).read_text("utf-8") != content]
    if stale:
        print(f"{', '.join(stale)} out of date. Run: python tools/concept_figures.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
