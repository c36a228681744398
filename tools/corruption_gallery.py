"""Write docs/corruptions.md and its pictures: each corruption from clean to hard, with its severity.

The words come from corruptions_spec.yaml, the severities from docs/severity.md (tools/severity_page.py),
the pictures from a photograph of `mini`. `--check` compares the page, and the pictures up to JPEG's losses.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from mmdbench.benches import decode_image, open_bench
from mmdbench.corruptions import corrupt
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.records import LEVELS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "corruptions.md"
PICTURES = ROOT / "docs" / "images" / "corruptions"
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


def severities() -> tuple[list[str], dict[str, list[str]], dict[str, list[str]]]:
    """Picture sizes, SSIM of each corruption by size and level, and warnings, from docs/severity.md."""
    text = (ROOT / "docs" / "severity.md").read_text("utf-8")
    table = text.split("## SSIM")[1].split("## ")[0]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "|" in line
    ]
    sizes = list(dict.fromkeys(cell.rsplit(" ", 1)[0] for cell in lines[0][1:]))
    care: dict[str, list[str]] = {}
    for name, rest in re.findall(r"^- (\w+), (.*)$", text.split("## Ladders")[1], re.MULTILINE):
        care.setdefault(name, []).append(rest)
    return sizes, {line[0]: line[1:] for line in lines[2:]}, care


def page() -> str:
    """The text of the page."""
    spec, (sizes, ssim, care) = load_spec(), severities()
    lines = [HEAD]
    for category, meaning in spec.categories.items():
        lines += [
            f"## {category.replace('_', '-').capitalize()}",
            "",
            f"{meaning[0].upper()}{meaning[1:]}.",
            "",
        ]
        for entry in (c for c in spec.corruptions.values() if c.category == category):
            lines += [f"### {entry.name}", "", f"{entry.meaning[0].upper()}{entry.meaning[1:]}", ""]
            lines[-2] = lines[-2].rstrip(".") + f". Stands for {entry.source}."
            lines += [f"![{entry.name}: clean, low, mid, hard](images/corruptions/{entry.name}.jpg)", ""]
            lines += [f"| SSIM | {' | '.join(LEVELS)} |", "|---|---|---|---|"]
            values, each = ssim[entry.name], len(LEVELS)
            for place, size in enumerate(sizes):
                lines.append(f"| {size} | {' | '.join(values[place * each : (place + 1) * each])} |")
            lines += ["", *(f"Careful, {told}" for told in care.get(entry.name, ())[:1]), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def main() -> int:
    """Write the page and its pictures, or compare them; 1 if something is out of date."""
    check, pixels, stale = "--check" in sys.argv, photograph(), []
    if check and PAGE.read_text("utf-8") != page():
        stale.append(PAGE)
    if not check:
        PICTURES.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
    for name in load_spec().corruptions:
        path, made = PICTURES / f"{name}.jpg", jpeg(strip(pixels, name))
        if not check:
            path.write_bytes(made)
        elif distance(path.read_bytes(), made) > CLOSE:
            stale.append(path)
    for path in stale:
        print(f"{path.relative_to(ROOT)} is out of date. Run: python tools/corruption_gallery.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
