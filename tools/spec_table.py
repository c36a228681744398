"""Write docs/corruptions_table.md from corruptions_spec.yaml; `--check` only tells if it is current."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmdbench.corruptions.spec import NumberSpec, Spec
from mmdbench.corruptions.spec_file import load_spec

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "corruptions_table.md"


def shown(value: object) -> str:
    """A value as the table prints it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (tuple, list)):
        return (" to " if isinstance(value, tuple) else ", ").join(map(shown, value))
    return str(value)


def number_row(number: NumberSpec, spec: Spec) -> str:
    """A line of a corruption's table: name, unit, low, mid, hard, formula, scaling."""
    values = [shown(number.at(i)) for i in spec.intensities.values()]
    formula = " to ".join(str(f) for f in number.formulas) if number.depends_on_intensity else ""
    formula = "`" + formula.replace("|", "\\|") + "`" if formula else ""
    scale = {"": "", "length": "length", "odd_length": "length, odd", "count": "count"}[number.scale]
    return f"| {number.name} | {number.unit} | {' | '.join(values)} | {formula} | {scale} |"


def table(spec: Spec) -> str:
    """The whole page."""
    levels = ", ".join(f"{value} at {level}" for level, value in spec.intensities.items())
    origin = f"Generated from `corruptions_spec.yaml`, version {spec.version}, by `tools/spec_table.py`."
    reading = (
        f"The intensity i is {levels}. A value written `a to b` is drawn between the two, both included."
    )
    lines = ["# The corruptions in numbers", "", f"{origin} {reading}", ""]
    lines += [f"- profile `{p.name}`: {p.meaning}" for p in spec.profiles.values()] + [""]
    for category, meaning in spec.categories.items():
        lines += [f"## {category}", "", f"{meaning[0].upper()}{meaning[1:]}.", ""]
        for entry in (c for c in spec.corruptions.values() if c.category == category):
            lines += [f"### {entry.name}", "", f"{entry.meaning[0].upper()}{entry.meaning[1:]}.", ""]
            lines += [f"Source: {entry.source}. Drawn at random: {', '.join(entry.random) or 'nothing'}. "]
            lines[-1] += f"Weight in the release: {entry.release_weight:g}."
            lines += [
                "",
                "| number | unit | low | mid | hard | formula | scaled as |",
                "|---|---|---|---|---|---|---|",
            ]
            lines += [number_row(number, spec) for number in entry.numbers.values()] + [""]
    return "\n".join(lines)


def main() -> int:
    """Write the table, or with --check compare it; 1 if it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    text = table(load_spec(ROOT / "corruptions_spec.yaml"))
    if not check:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(f"{TARGET.relative_to(ROOT)} is out of date. Run: python tools/spec_table.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
