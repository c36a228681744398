"""Set the levels of the set `everyday` on one ladder, and write docs/everyday_severity.md; takes ten minutes.

    python tools/everyday_ladder.py                # all members, then the page
    python tools/everyday_ladder.py fog rain       # these alone
    python tools/everyday_ladder.py --page         # the page alone

Mean SSIM over six photographs of `mini`, at a short side of 512 px, falls by equal steps: .8, .6, .4 at low,
mid and hard. Where the plausible range of a corruption does not reach .4, hard is the range's strongest end,
and low and mid are a third and two thirds of the way to the SSIM reached there. Those that move things have a
ladder of their mean displacement instead: 4, 8 and 12 % of the short side. All calibrated numbers of one go
together, each the same share of the way through its range. The values are written to everyday_spec.yaml.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from types import MappingProxyType

import numpy as np
from severity_page import ROOT, photographs

from mmdbench.corruptions import apply, image_seed
from mmdbench.corruptions.calibration import CalibrationSettings, calibrate, resized, to_markdown
from mmdbench.corruptions.operations import draw
from mmdbench.corruptions.plugins import use_corruptions
from mmdbench.corruptions.severity import ssim
from mmdbench.corruptions.spec import CorruptionSpec
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.records import LEVELS

SPEC = ROOT / "mmdbench" / "corruptions" / "everyday" / "everyday_spec.yaml"
PAGE = ROOT / "docs" / "everyday_severity.md"
GEOMETRIC = ("elastic", "perspective", "rotation")
SIZES, SIDE = (224, 512), 512
LOWEST, DISPLACEMENT = 0.4, 0.12
CLOSE = 0.005  # of the whole way

HEAD = """# Measured severity of the set `everyday`

The levels are calibrated: mean SSIM over six photographs with a short side of 512 px falls by equal steps, to
.8, .6 and .4. Where the plausible range of a corruption ends before .4, hard is the range's end, and low and
mid are a third and two thirds of the way there. Corruptions that move things are set by their mean
displacement instead: 4, 8 and 12 % of the short side.

Written by `tools/everyday_ladder.py`, and the measurement below by `mmdbench calibrate`. More: [in
pictures](everyday.md) · [in numbers](everyday_table.md) · [the paper's sixteen](severity.md)

| corruption | ladder of | low, mid, hard | number | plausible | low | mid | hard |
|---|---|---|---|---|---|---|---|
"""


def effect_at(entry: CorruptionSpec, share: float) -> float:
    """The mean SSIM, or the negative mean displacement, this far through every plausible range."""
    fixed = {
        key: replace(number, points=tuple((i, start + share * (end - start)) for i in (0.0, 1.0)))
        for key, number in entry.numbers.items()
        if number.points
        for start, end in [(number.points[0][1], number.points[-1][1])]
    }
    spec = load_spec()
    tried = replace(entry, numbers={**entry.numbers, **fixed})
    spec = replace(spec, corruptions=MappingProxyType({**spec.corruptions, entry.name: tried}))
    intensity = spec.intensity(LEVELS[-1], entry.name)

    def made(pixels: np.ndarray, seed: int) -> np.ndarray:
        key = image_seed(pixels, entry.name, seed)
        return apply(entry.name, pixels, draw(spec, entry.name, pixels.shape, intensity=intensity, seed=key))

    if member(entry) in GEOMETRIC:
        places = coordinates()
        return -float(np.mean([moved(places, made(places, seed)) for seed in range(12)]))
    return float(np.mean([ssim(pixels, made(pixels, 0)) for pixels in reference()]))


def member(entry: CorruptionSpec) -> str:
    """The name without the set."""
    return entry.name.partition(".")[2]


@cache
def reference() -> tuple[np.ndarray, ...]:
    """The photographs at the size of the calibration."""
    return tuple(resized(pixels, SIDE) for pixels in photographs().values())


def coordinates() -> np.ndarray:
    """256×256 px; red is the column, green the row, and blue full."""
    rows, columns = np.indices((256, 256), dtype=np.uint8)
    return np.stack([columns, rows, np.full_like(rows, 255)], axis=-1)


def moved(before: np.ndarray, after: np.ndarray) -> float:
    """The mean displacement in a picture of coordinates as a share of its side, without a border's colour."""
    inside = after[..., 2] == 255
    way = (after.astype(float) - before)[inside][:, :2]
    return float(np.hypot(*way.T).mean() / before.shape[0])


def levels_of(entry: CorruptionSpec) -> list[float]:
    """How far through the plausible range low, mid and hard are, 0 to 1."""
    at = cache(lambda share: effect_at(entry, share))
    geometric = member(entry) in GEOMETRIC
    clean = 0.0 if geometric else 1.0
    lowest = max(-DISPLACEMENT if geometric else LOWEST, at(1.0))
    shares = []
    for step, level in enumerate(LEVELS, 1):
        wanted = clean + (lowest - clean) * step / len(LEVELS)
        weak, found, strong = 0.0, 1.0, 1.0
        while abs(at(found) - wanted) > CLOSE * (clean - lowest) and strong - weak > CLOSE / 10:
            weak, strong = (found, strong) if at(found) > wanted else (weak, found)
            found = (weak + strong) / 2
        shares.append(found)
        print(
            f"{entry.name} {level}: {found:.4f} of the range, {wanted:.3f} wanted, {at(found):.3f} there",
            flush=True,
        )
    return shares


def write_levels(entry: CorruptionSpec, shares: Iterable[float]) -> None:
    """Put the values at the levels into the spec file."""
    text = SPEC.read_text("utf-8")
    start = text.index(f"\n  {member(entry)}:\n")
    end = next((m.start() for m in re.finditer(r"\n  \w", text) if m.start() > start), len(text))
    stanza = text[start:end]
    for key, number in entry.numbers.items():
        if number.points:
            first, last = number.points[0][1], number.points[-1][1]
            values = ", ".join(f"{float(f'{first + share * (last - first):.4g}')}" for share in shares)
            stanza = re.sub(rf"(\n +{key}: .*?at: )\[.*?\]", rf"\g<1>[{values}]", stanza)
    SPEC.write_text(text[:start] + stanza + text[end:], encoding="utf-8")


def page(names: Iterable[str]) -> str:
    """The page: the ladders, then the measurement."""
    settings = CalibrationSettings(SIZES, ["everyday"], enlarge=True)
    found = calibrate(photographs(), settings, lambda step: print(step, file=sys.stderr))
    cells = {(e.corruption, e.level): e.ssim for e in found.effects if e.size == SIDE}
    lines = []
    for name in names:
        entry = load_spec().corruption(name)
        if member(entry) in GEOMETRIC:
            reached = [f"{-100 * effect_at_level(entry, level):.1f} %" for level in LEVELS]
        else:
            reached = [f"{cells[name, level]:.2f}" for level in LEVELS]
        of = "displacement" if member(entry) in GEOMETRIC else "SSIM"
        first = f"| {member(entry)} | {of} | {', '.join(reached)} "
        for key, number in entry.numbers.items():
            if number.points:
                weak, *values, strong = (f"{value:g}" for _, value in number.points)
                lines.append(f"{first}| {key} ({number.unit}) | {weak} to {strong} | {' | '.join(values)} |")
                first = "| | | "
    measured = to_markdown(found).replace("\n## ", "\n### ").replace("# Measured severity", "## Measured", 1)
    return HEAD + "\n".join(lines) + "\n\n" + measured


def effect_at_level(entry: CorruptionSpec, level: str) -> float:
    """The effect at a level as the spec file has it."""
    intensity = load_spec().intensity(level, entry.name)
    number = next(number for number in entry.numbers.values() if number.points)
    weak, strong = number.points[0][1], number.points[-1][1]
    return effect_at(entry, (number.at(intensity) - weak) / (strong - weak))


def main() -> int:
    """Calibrate, then write the page."""
    names = use_corruptions(["everyday"])
    wanted = [name for name in names if member(load_spec().corruption(name)) in sys.argv[1:]]
    if "--page" not in sys.argv:
        for name in wanted or names:
            entry = load_spec().corruption(name)
            write_levels(entry, levels_of(entry))
    if "--page" in sys.argv:
        PAGE.write_text(page(names), encoding="utf-8")
    elif not wanted:
        # In a process of its own: in this one the old levels are in use.
        subprocess.run([sys.executable, __file__, "--page"], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
