"""Write docs/corruptions.md, docs/everyday.md and their pictures: each corruption from clean to hard.

The words come from the spec files, the severities from docs/severity.md (tools/severity_page.py) and
docs/everyday_severity.md (tools/everyday_ladder.py), the pictures from a photograph of `mini`. `--check`
compares the pages, and the pictures up to JPEG's losses.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mmdbench.benches import decode_image, open_bench
from mmdbench.corruptions import corrupt
from mmdbench.corruptions.plugins import use_corruptions
from mmdbench.corruptions.spec import CorruptionSpec
from mmdbench.corruptions.spec_file import load_spec, shipped_spec
from mmdbench.records import LEVELS
from mmdbench.system.yaml_text import parse_yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EVERYDAY = ROOT / "mmdbench" / "corruptions" / "everyday" / "everyday_spec.yaml"
PHOTO, WIDTH, GAP = "astronaut.jpg", 236, 4
CLOSE = 2.0  # mean difference in grey levels that two JPEG encoders may make of one picture

HEAD = """# The 16 corruptions

Each picture shows clean, low, mid and hard, made from one photograph of 512 × 512 px (NASA, public domain)
with seed 0 and shown smaller. Low, mid and hard share their layout: only the severity changes. SSIM is the
structural similarity to the clean picture, 1 where nothing changed, measured on six photographs; a lower
number is a stronger corruption. The same level weakens as pictures grow, because most sizes are in pixels, as
published: see the [profile `scaled`](decisions/scaled-profile.md).

Written by `tools/corruption_gallery.py`. More: [in numbers](corruptions_table.md) · [measured severity, with
PSNR](severity.md) · [use them in your code](library.md) · [add one](add_corruption.md)
"""


EVERYDAY_HEAD = """# The everyday set

Sixteen degradations that products meet, beside the paper's sixteen and never mixed with them. Each picture
shows clean, low, mid and hard, made from one photograph of 512 × 512 px (NASA, public domain) with seed 0 and
shown smaller. Low, mid and hard share their layout: only the severity changes. SSIM is the structural
similarity to the clean picture, 1 where nothing changed, measured on six photographs; a lower number is a
stronger corruption. The levels are [calibrated](everyday_severity.md) to one ladder of SSIM, or of
displacement where things move.

Written by `tools/corruption_gallery.py`. More: [which set for which product](sets.md) · [in
numbers](everyday_table.md) · [measured severity](everyday_severity.md) · [the paper's
sixteen](corruptions.md)

```sh
mmdbench list corruptions --corruption-set everyday
mmdbench eval --model baseline --bench mini --corruption-set everyday -o runs/everyday
mmdbench report runs/everyday
```
"""


@dataclass(frozen=True)
class Gallery:
    """A page about a set: its file, what it begins with, and the file with the measured severities."""

    page: Path
    head: str
    measured: Path
    entries: Sequence[CorruptionSpec]
    categories: Mapping[str, str]

    @property
    def pictures(self) -> Path:
        """The folder of its pictures."""
        return DOCS / "images" / self.page.stem


def galleries() -> list[Gallery]:
    """The pages of the sets that ship with the package."""
    paper, everyday = shipped_spec(), use_corruptions(["everyday"])
    entries = [load_spec().corruption(name) for name in everyday]
    categories = parse_yaml(EVERYDAY.read_text("utf-8"))["categories"]
    first = [paper.corruption(name) for name in paper.shipped]
    return [
        Gallery(DOCS / "corruptions.md", HEAD, DOCS / "severity.md", first, paper.categories),
        Gallery(DOCS / "everyday.md", EVERYDAY_HEAD, DOCS / "everyday_severity.md", entries, categories),
    ]


def plain(name: str) -> str:
    """The name without its set."""
    return name.rpartition(".")[2]


def photograph() -> np.ndarray:
    """The photograph, RGB."""
    for question in open_bench("mini").questions:
        if question.fields["photo"] == PHOTO:
            return decode_image(question.images[0].read(), PHOTO)
    raise SystemExit(f"mini holds no {PHOTO}")


def strip(pixels: np.ndarray, name: str) -> Image.Image:
    """Clean, low, mid and hard side by side."""
    shown = [pixels, *(corrupt(pixels, name, level=level) for level in LEVELS)]
    height = round(pixels.shape[0] * WIDTH / pixels.shape[1])
    sheet = Image.new("RGB", ((WIDTH + GAP) * len(shown) - GAP, height), "white")
    for place, picture in enumerate(shown):
        small = Image.fromarray(picture).resize((WIDTH, height), Image.Resampling.LANCZOS)
        sheet.paste(small, (place * (WIDTH + GAP), 0))
    return sheet


def jpeg(picture: Image.Image) -> bytes:
    """The picture as a JPEG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def distance(first: bytes, second: bytes) -> float:
    """Mean difference of two encoded pictures in grey levels; infinite if their sizes differ."""
    one, other = (np.asarray(Image.open(io.BytesIO(data)), np.int16) for data in (first, second))
    return float(np.abs(one - other).mean()) if one.shape == other.shape else float("inf")


def severities(path: Path) -> tuple[list[str], dict[str, list[str]], dict[str, list[str]]]:
    """Picture sizes, SSIM of each corruption by size and level, and warnings, from a page of severities."""
    text = path.read_text("utf-8")
    table = text.split("# SSIM")[1].split("# ")[0]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "|" in line
    ]
    sizes = list(dict.fromkeys(cell.rsplit(" ", 1)[0] for cell in lines[0][1:]))
    care: dict[str, list[str]] = {}
    for name, rest in re.findall(r"^- ([\w.]+), (.*)$", text.split("# Ladders")[1], re.MULTILINE):
        care.setdefault(name, []).append(rest)
    return sizes, {line[0]: line[1:] for line in lines[2:]}, care


def text_of(gallery: Gallery) -> str:
    """The text of a page."""
    sizes, ssim, care = severities(gallery.measured)
    lines = [gallery.head]
    for category, meaning in gallery.categories.items():
        lines += [
            f"## {category.replace('_', '-').capitalize()}",
            "",
            f"{meaning[0].upper()}{meaning[1:]}.",
            "",
        ]
        for entry in (c for c in gallery.entries if c.category == category):
            name, shown = plain(entry.name), f"images/{gallery.pictures.name}/{plain(entry.name)}.jpg"
            lines += [f"### {name}", "", f"{entry.meaning[0].upper()}{entry.meaning[1:]}", ""]
            lines[-2] = lines[-2].rstrip(".") + f". Stands for {entry.source}."
            if entry.loses:
                kinds = " and ".join(f"`{kind}`" for kind in entry.loses)
                lines[-2] += (
                    f" Takes [the answer](add_corruption.md#questions-that-lose-their-answer) of {kinds}."
                )
            lines += [f"![{name}: clean, low, mid, hard]({shown})", ""]
            lines += [f"| SSIM | {' | '.join(LEVELS)} |", "|---|---|---|---|"]
            values, each = ssim[entry.name], len(LEVELS)
            for place, size in enumerate(sizes):
                lines.append(f"| {size} | {' | '.join(values[place * each : (place + 1) * each])} |")
            lines += ["", *(f"Careful, {told}" for told in care.get(entry.name, ())[:1]), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def stale_files(gallery: Gallery, pixels: np.ndarray, *, check: bool) -> list[Path]:
    """Write a page and its pictures, or with `check` tell which of them are out of date."""
    text, stale = text_of(gallery), []
    if not check:
        gallery.pictures.mkdir(parents=True, exist_ok=True)
        gallery.page.write_text(text, encoding="utf-8")
    elif not gallery.page.exists() or gallery.page.read_text("utf-8") != text:
        stale.append(gallery.page)
    for entry in gallery.entries:
        path, made = gallery.pictures / f"{plain(entry.name)}.jpg", jpeg(strip(pixels, entry.name))
        if not check:
            path.write_bytes(made)
        elif not path.exists() or distance(path.read_bytes(), made) > CLOSE:
            stale.append(path)
    return stale


def main() -> int:
    """Write the pages and their pictures, or compare them; 1 if something is out of date."""
    check, pixels = "--check" in sys.argv, photograph()
    stale = [path for gallery in galleries() for path in stale_files(gallery, pixels, check=check)]
    for path in stale:
        print(f"{path.relative_to(ROOT)} is out of date. Run: python tools/corruption_gallery.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
