"""Time the mean-shift filter against OpenCV's: CPU ms, ratio, and number of differing bytes.

    python benchmarks/mean_shift.py              a 1024×768 photo at the three levels
    python benchmarks/mean_shift.py --smoke      small and quick, then with AVX2 alone; see GUARDS
    python benchmarks/mean_shift.py --haswell    limited to AVX2 (x86 only; in a fresh process)

Times are CPU times of this thread, the least of several runs, so that other work hardly matters.
Exits 1 if a byte differs, or with --smoke if the ratio is below the guard of the processor's features.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import processor

from mmdbench.corruptions._mean_shift import _by_opencv, _kernel, mean_shift

if TYPE_CHECKING:
    from collections.abc import Callable

PHOTO = Path(__file__).resolve().parents[1] / "tests" / "golden" / "corruptions" / "astronaut_256x192.png"
LEVELS = {"low": 9, "mid": 18, "hard": 36}
GUARDS = {"avx512bw": 7.5, "avx2": 6.0, "": 2.0}
"""The least ratio of a smoke run by the widest feature in use, half of what was measured."""


def photo(width: int, height: int) -> np.ndarray:
    """The shipped test photo, enlarged, with faint noise in place of the detail that it lacks."""
    small = np.ascontiguousarray(cv2.imread(str(PHOTO))[:, :, ::-1])
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = np.random.RandomState(0).randint(-3, 4, large.shape)
    return np.clip(large + noise, 0, 255).astype(np.uint8)


def cpu_ms(function: Callable[..., np.ndarray], image: np.ndarray, radius: int, repeats: int) -> float:
    """The least CPU time of `repeats` runs, in ms."""
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        function(image, radius, radius)
        times.append(time.thread_time() - start)
    return 1000 * min(times)


def compare(image: np.ndarray, *, repeats: int) -> tuple[float, int]:
    """Print one line a level; return the ratio over all levels and the number of differing bytes."""
    total = {"cv2": 0.0, "ours": 0.0}
    differing = 0
    print(f"{'level':8}{'radius':>8}{'cv2 ms':>10}{'ours ms':>10}{'ratio':>8}{'bytes differ':>14}")
    for level, radius in LEVELS.items():
        wrong = int((mean_shift(image, radius, radius) != _by_opencv(image, radius, radius)).sum())
        ours = cpu_ms(mean_shift, image, radius, 2 * repeats)
        theirs = cpu_ms(_by_opencv, image, radius, repeats)
        print(f"{level:8}{radius:8}{theirs:10.1f}{ours:10.1f}{theirs / ours:8.1f}{wrong:14}")
        total["cv2"] += theirs
        total["ours"] += ours
        differing += wrong
    ratio = total["cv2"] / total["ours"]
    print(f"{'all':8}{'':8}{total['cv2']:10.1f}{total['ours']:10.1f}{ratio:8.1f}{differing:14}")
    return ratio, differing


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--smoke", action="store_true", help="small picture; fail if the ratio is below its guard"
    )
    parser.add_argument("--haswell", action="store_true", help="limit the kernel to AVX2")
    arguments = parser.parse_args()
    if arguments.haswell:
        return processor.again_limited(__file__, ["--smoke"] if arguments.smoke else [])
    if _kernel() is None:
        print("numba is not installed: nothing to compare. Run: pip install 'mmdbench[fast]'")
        return 1
    cv2.setNumThreads(1)
    width, height = (320, 240) if arguments.smoke else (1024, 768)
    limited = processor.is_limited()
    features = "limited to AVX2" if limited else "all features of the processor"
    print(f"OpenCV {cv2.__version__}, {width}×{height}, one thread, {features}, CPU ms", flush=True)
    ratio, differing = compare(photo(width, height), repeats=1 if arguments.smoke else 2)
    failed = differing > 0 or (arguments.smoke and ratio < processor.guard(GUARDS))
    if arguments.smoke and not limited and platform.machine() in ("x86_64", "AMD64"):
        return int(failed) | processor.again_limited(__file__, ["--smoke"])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
