"""Compare pixels over all supported versions of OpenCV, each installed into an environment of its own.

    python benchmarks/opencv_matrix.py                                  # all versions
    python benchmarks/opencv_matrix.py --versions 4.11.0.86 5.0.0.93

For every version the pixel digests of 32 corruptions (the paper's and those of the set `everyday`) × 3 levels
× 2 profiles on the golden images and on odd sizes are computed, once with all vector extensions of the CPU
and once without. Prints a table; exit code 1 if any digest or parameter differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "corruptions"
VERSIONS = ("4.11.0.86", "4.12.0.88", "4.13.0.92", "4.14.0.94", "5.0.0.93")
ODD_SIZES = ((1, 1), (31, 50), (49, 49), (1, 500), (97, 33), (120, 643))
# Where layout decides the pixels, more layouts are compared.
DRAWN = (
    *("lens_flare", "motion_blur", "dirty_lens", "graffiti", "watermark_damage"),
    *(
        f"everyday.{name}"
        for name in ("low_resolution", "rain", "snow", "perspective", "rotation", "occlusion", "moire")
    ),
)
PLAIN_CPU = {"OPENCV_CPU_DISABLE": "AVX512-SKX,AVX512-ICL,AVX2,FMA3,AVX,FP16,SSE4.2,SSE4.1"}


def images() -> Iterator[tuple[str, Any]]:
    """The golden photographs and smooth pictures of odd sizes, as (name, RGB pixels)."""
    import numpy as np
    from PIL import Image

    for name in ("astronaut_256x192", "chelsea_120x160", "page_200x150"):
        yield name, np.array(Image.open(GOLDEN / f"{name}.png").convert("RGB"))
    for height, width in ODD_SIZES:
        words = np.random.PCG64(height * 1000 + width).random_raw(height * width * 3)
        grain = (words >> np.uint64(60)).astype(np.uint8).reshape(height, width, 3)
        rows, columns = np.indices((height, width))
        ramp = np.stack([rows * 5 + columns * 3, columns * 4, rows * 7], axis=-1) % 240
        yield f"{height}x{width}", (ramp + grain).astype(np.uint8)


def digests() -> dict[str, str]:
    """Digests of parameters and pixels for every case, on the OpenCV of this environment."""
    from mmdbench.corruptions import apply, get_corruption_names, sample
    from mmdbench.corruptions.plugins import use_corruptions
    from mmdbench.system.digest import pixel_digest, value_digest

    found = {}
    names = [*get_corruption_names(), *use_corruptions(["everyday"])]
    for image_name, pixels in images():
        for name in names:
            for profile in ("paper", "scaled"):
                for level in ("low", "mid", "hard"):
                    for seed in range(6 if name in DRAWN and image_name in ("page_200x150", "97x33") else 1):
                        params = sample(name, pixels.shape, level=level, seed=seed, profile=profile)
                        key = f"{name}/{level}/{profile}/{image_name}/{seed}"
                        found[key] = (
                            value_digest(params)[:16] + pixel_digest(apply(name, pixels, params))[:16]
                        )
    return found


def work(out: Path) -> None:
    """Write this environment's digests to a file."""
    import cv2
    import numpy as np

    result = {"opencv": cv2.__version__, "numpy": np.__version__, "digests": digests()}
    out.write_text(json.dumps(result), encoding="utf-8")


def environment(folder: Path, version: str) -> Path:
    """The Python of an environment with one version of OpenCV and the project, created if missing."""
    place = folder / f"opencv-{version}"
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if not python.exists():
        venv.EnvBuilder(with_pip=True).create(place)
        subprocess.run(
            [*pip, "msgspec", "numpy", "pillow", "pyyaml", f"opencv-python-headless=={version}"], check=True
        )
    subprocess.run([*pip, "--no-deps", "--force-reinstall", str(source_copy(folder))], check=True)
    return python


def source_copy(folder: Path) -> Path:
    """A copy of the project to install from, because pip would leave a build folder in the tree."""
    copy = folder / "source"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT, copy, ignore=_unneeded)
    return copy


def _unneeded(folder: str, names: list[str]) -> set[str]:
    # Only at the top: a package of the project may be called build, too.
    at_top = {"build", "dist", "tests", "runs"} if Path(folder) == ROOT else set()
    return {
        name
        for name in names
        if name in at_top or name.startswith(".") or name.endswith((".egg-info", "__pycache__"))
    }


def run(python: Path, out: Path, extra: dict[str, str]) -> dict[str, Any]:
    """The result of a worker in another environment."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OPENCV_CPU_DISABLE")}
    command = [str(python), str(Path(__file__).resolve()), "--worker", str(out)]
    subprocess.run(command, check=True, env=inherited | extra, cwd=out.parent)
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return result


def differing(reference: dict[str, str], other: dict[str, str]) -> dict[str, int]:
    """Number of differing cases of each corruption."""
    counts: dict[str, int] = {}
    for key in reference.keys() | other.keys():
        if reference.get(key) != other.get(key):
            name = key.partition("/")[0]
            counts[name] = counts.get(name, 0) + 1
    return counts


def compare(versions: list[str], folder: Path) -> bool:
    """Print one line per version and CPU mode; True if all digests are equal."""
    reference: dict[str, str] | None = None
    same = True
    print(f"{'opencv':12} {'numpy':8} {'CPU':8} {'cases':>6} {'seconds':>8}  differing")
    for version in versions:
        python = environment(folder, version)
        for mode, extra in (("as is", {}), ("plain", PLAIN_CPU)):
            start = time.monotonic()
            result = run(python, folder / f"{version}-{mode.replace(' ', '_')}.json", extra)
            reference = reference or result["digests"]
            counts = differing(reference, result["digests"])
            same = same and not counts
            seconds = time.monotonic() - start
            shown = ", ".join(f"{k} {v}" for k, v in sorted(counts.items())) or "none"
            cases = len(result["digests"])
            print(f"{version:12} {result['numpy']:8} {mode:8} {cases:6} {seconds:8.1f}  {shown}", flush=True)
    return same


def main() -> int:
    """Compare the versions given; 0 if every digest is equal, else 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--versions", nargs="+", default=list(VERSIONS), metavar="V")
    parser.add_argument(
        "--folder", type=Path, help="folder of the environments, which are kept; by default a temporary one"
    )
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return 0
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        return 0 if compare(options.versions, options.folder.resolve()) else 1
    with tempfile.TemporaryDirectory() as folder:
        return 0 if compare(options.versions, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
