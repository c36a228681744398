"""Write docs/corruptions_table.md and docs/everyday_table.md from the spec files; `--check` only compares."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmdbench.corruptions.plugins import use_corruptions
from mmdbench.corruptions.spec import CorruptionSpec, NumberSpec, Spec
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.system.yaml_text import parse_yaml

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "corruptions_table.md"
EVERYDAY = ROOT / "mmdbench" / "corruptions" / "everyday" / "everyday_spec.yaml"
EVERYDAY_TARGET = ROOT / "docs" / "everyday_table.md"


def shown(value: object) -> str:
    """A value as the table prints it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (tuple, list)):
        nested = any(isinstance(item, (tuple, list)) for item in value)
        return ("; " if nested else " to " if isinstance(value, tuple) else ", ").join(map(shown, value))
    return str(value)


def number_row(number: NumberSpec, intensities: Iterable[float]) -> str:
    """A line of a corruption's table: name, unit, low, mid, hard, formula or plausible range, scaling."""
    values = [shown(number.at(i)) for i in intensities]
    formula = " to ".join(str(f) for f in number.formulas) if number.depends_on_intensity else ""
    formula = "`" + formula.replace("|", "\\|") + "`" if formula else ""
    if number.points:
        formula = f"calibrated within {shown(number.points[0][1])} to {shown(number.points[-1][1])}"
    scale = {"": "", "length": "length", "odd_length": "length, odd", "count": "count"}[number.scale]
    return f"| {number.name} | {number.unit} | {' | '.join(values)} | {formula} | {scale} |"


def stanzas(
    entries: Sequence[CorruptionSpec], categories: Mapping[str, str], intensities: Mapping[str, float]
) -> list[str]:
    """The lines about every corruption, by category."""
    lines = []
    for category, meaning in categories.items():
        lines += [f"## {category}", "", f"{meaning[0].upper()}{meaning[1:]}.", ""]
        for entry in (c for c in entries if c.category == category):
            lines += [f"### {entry.name.rpartition('.')[2]}", ""]
            lines += [f"{entry.meaning[0].upper()}{entry.meaning[1:]}.", ""]
            lines += [f"Source: {entry.source}. Drawn at random: {', '.join(entry.random) or 'nothing'}. "]
            weight = f"Weight in the {'design `mixed`' if entry.of_set else 'release'}"
            lines[-1] += f"{weight}: {entry.release_weight:g}."
            lines += [
                "",
                "| number | unit | low | mid | hard | formula | scaled as |",
                "|---|---|---|---|---|---|---|",
            ]
            lines += [number_row(number, intensities.values()) for number in entry.numbers.values()] + [""]
    return lines


def reading(intensities: Mapping[str, float]) -> str:
    """How a table is read."""
    levels = ", ".join(f"{value} at {level}" for level, value in intensities.items())
    return f"The intensity i is {levels}. A value written `a to b` is drawn between the two, both included."


def table(spec: Spec) -> str:
    """The page of the paper's sixteen."""
    origin = f"Generated from `corruptions_spec.yaml`, version {spec.version}, by `tools/spec_table.py`."
    lines = ["# The corruptions in numbers", "", f"{origin} {reading(spec.intensities)}", ""]
    lines += [f"- profile `{p.name}`: {p.meaning}" for p in spec.profiles.values()] + [""]
    return "\n".join(lines + stanzas(list(spec.corruptions.values()), spec.categories, spec.intensities))


def everyday_table() -> str:
    """The page of the set `everyday`."""
    entries = [load_spec().corruption(name) for name in use_corruptions(["everyday"])]
    file = parse_yaml(EVERYDAY.read_text("utf-8"))
    origin = f"Generated from `everyday_spec.yaml`, version {file['version']}, by `tools/spec_table.py`."
    lines = ["# The everyday set in numbers", "", f"{origin} {reading(file['intensities'])}", ""]
    lines += [
        "A calibrated number is linear between the levels, from one end of its plausible range at i = 0",
        "to the other at i = 1.",
        "",
    ]
    return "\n".join(lines + stanzas(entries, file["categories"], file["intensities"]))


def main() -> int:
    """Write the tables, or with --check compare them; 1 if one is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check, stale = parser.parse_args().check, False
    pages = {TARGET: table(load_spec(ROOT / "corruptions_spec.yaml")), EVERYDAY_TARGET: everyday_table()}
    for target, text in pages.items():
        if not check:
            target.write_text(text, encoding="utf-8")
        elif not target.exists() or target.read_text(encoding="utf-8") != text:
            print(f"{target.relative_to(ROOT)} is out of date. Run: python tools/spec_table.py")
            stale = True
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
