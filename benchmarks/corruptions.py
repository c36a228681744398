"""CPU milliseconds per image of each corruption and of a plain implementation, on one thread.

    python benchmarks/corruptions.py                    # a photograph at four sizes, and first calls
    python benchmarks/corruptions.py --size 640x426     # at one
    python benchmarks/corruptions.py --smoke            # a small one without mean_shift, then with AVX2 alone

Fails if pixels differ by more than 1 level, if the fifteen without mean_shift (which has a
script of its own) are together slower than the guard, or if a call of the set `everyday` is on average
slower than one of the fifteen by more than a guard, or one of its corruptions by more than twice that.
A star marks what is behind plain OpenCV: by more than 0.1 ms where that takes less than 1 ms, else by
more than 1/0.85.

The plain implementations follow the definitions directly: float32 images of three channels,
two-dimensional kernels, `np.random`, whole-image maps.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import processor
from PIL import Image

from mmdbench.corruptions import _inpainting, _saturation, apply, corrupt, get_corruption_names, sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PHOTO = Path(__file__).resolve().parents[1] / "tests" / "golden" / "corruptions" / "astronaut_256x192.png"
LEVELS = ("low", "mid", "hard")
# They use other random numbers, or drawing that differs between versions of OpenCV.
NOT_COMPARED = ("gaussian_noise", "graffiti")
SIZES = ("224x224", "640x426", "1024x768", "4000x3000")
GUARD = 4.2
"""The least ratio of the fifteen at 640×426."""
SMOKE_GUARDS = {"avx512bw": 2.0, "avx2": 2.0, "": 1.7}
"""Those of a smoke run by the widest feature in use: half of the measured 4.0–4.1, 4.0–4.1 and 3.4–3.5."""
# One table pass over the same pixels is the reference of a corruption that draws nothing.
LUT_GUARDS = (1.3, 2.6)
# The mean call of `everyday`, as a multiple of that of the fifteen with their kernels: (full, smoke).
EVERYDAY_GUARDS = (1.25, 2.5)
FIRST_CALLS = ("dark_illumination", "motion_blur", "lens_blur", "watermark_damage", "mean_shift")
FIRST_CALL = """
import sys, time
import numpy as np
image = np.random.RandomState(0).randint(0, 256, (426, 640, 3)).astype(np.uint8)
times = [time.process_time()]
from mmdbench import corrupt
times.append(time.process_time())
for _ in range(2):
    corrupt(image, sys.argv[1], level="hard")
    times.append(time.process_time())
print(*(1e3 * (end - start) for start, end in zip(times, times[1:])))
"""


def lens_blur(image, p):
    size = (p["kernel_size"],) * 2
    blurred = cv2.GaussianBlur(image.astype(np.float32), size, p["sigma"])
    blurred = np.clip(blurred, 0, 255).astype(np.uint8)
    return cv2.addWeighted(image, p["image_weight"], blurred, p["blur_weight"], 0)


def lens_flare(image, p):
    layer = np.zeros(image.shape, np.float32)
    for (x, y, radius), (x0, y0, x1, y1) in zip(p["spots"], p["rays"], strict=True):
        cv2.circle(layer, (x, y), radius, p["rgb"], -1)
        cv2.line(layer, (x0, y0), (x1, y1), p["rgb"], 2)
    layer = cv2.GaussianBlur(layer, (3, 3), p["blur_sigma"])
    return np.clip(image + p["flare_weight"] * layer, 0, 255).astype(np.uint8)


def motion_blur(image, p):
    size = p["kernel_size"]
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), p["angle_deg"], 1)
    kernel = cv2.warpAffine(np.eye(size), turn, (size, size))
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def dirty_lens(image, p):
    layer = np.zeros(image.shape, np.float32)
    for x, y, a, b, turn, grey in p["ellipses"]:
        cv2.ellipse(layer, (x, y), (a, b), turn, 0, 360, (grey,) * 3, -1)
    for x, y, radius, grey in p["circles"]:
        cv2.circle(layer, (x, y), radius, (grey,) * 3, -1)
    layer = cv2.GaussianBlur(layer, (0, 0), p["blur_sigma"])
    layer = np.clip(layer, 0, 255).astype(np.uint8)
    return cv2.addWeighted(image, p["image_weight"], layer, p["dirt_weight"], 0)


def hsv_saturation(image, p):
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] *= p["gain"]
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


def jpeg_compression(image, p):
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, p["quality"]])[1]
    return cv2.cvtColor(cv2.imdecode(data, 1), cv2.COLOR_BGR2RGB)


def block_exchange(image, p):
    out, b = image.copy(), p["block_size"]
    for r, c, r2, c2 in p["swaps"]:
        kept = out[r * b : r * b + b, c * b : c * b + b].copy()
        out[r * b : r * b + b, c * b : c * b + b] = out[r2 * b : r2 * b + b, c2 * b : c2 * b + b]
        out[r2 * b : r2 * b + b, c2 * b : c2 * b + b] = kept
    return out


def mean_shift(image, p):
    return cv2.pyrMeanShiftFiltering(image, p["spatial_radius"], p["color_radius"])


def scan_lines(image, p):
    out = image.copy()
    for y in range(0, len(out), p["interval"]):
        out[y : y + p["width"]] = (out[y : y + p["width"]] * p["gain"]).astype(np.uint8)
    return out


def dark_illumination(image, p):
    return np.clip(image * p["gain"], 0, 255).astype(np.uint8)


def atmospheric_turbulence(image, p):
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    sway = p["amplitude_px"] * np.sin(y / 30 + p["phase_rad"])
    map_x = np.clip(x + sway, 0, width - 1).astype(np.float32)
    map_y = np.clip(y + 0.7 * sway, 0, height - 1).astype(np.float32)
    return cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR)


def gaussian_noise(image, p):
    noise = np.random.normal(0, p["sigma"], image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def color_diffusion(image, p):
    line = cv2.getGaussianKernel(p["kernel_size"], p["sigma"])
    kernel = line @ line.T * p["kernel_gain"]
    diffused = np.clip(cv2.filter2D(image.astype(np.float32), -1, kernel), 0, 255).astype(np.uint8)
    return cv2.addWeighted(image, p["image_weight"], diffused, p["diffusion_weight"], 0)


def sharpness_change(image, p):
    kernel = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]) * p["kernel_gain"]
    return cv2.addWeighted(image, p["image_weight"], cv2.filter2D(image, -1, kernel), p["sharp_weight"], 0)


def graffiti(image, p):
    out = image.copy()
    for s in p["strokes"]:
        cv2.line(out, s["start"], s["end"], s["rgb"], s["thickness"])
    t = p["text"]
    if t:
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(out, t["string"], t["origin"], font, t["font_scale"], t["rgb"], t["thickness"])
    return out


def watermark_damage(image, p):
    mask = np.zeros(image.shape[:2], np.uint8)
    for x0, y0, x1, y1 in p["boxes"]:
        cv2.rectangle(mask, (x0, y0), (x1, y1), 255, -1)
    filled = cv2.inpaint(image, mask, p["inpaint_radius"], cv2.INPAINT_TELEA)
    out = cv2.addWeighted(image, 1 - p["strength"], filled, p["strength"], 0)
    if p["darken_edges"]:
        edges = cv2.Canny(mask, 50, 150) > 0
        out[edges] = (out[edges] * 0.8).astype(np.uint8)
    return out


def _sums_with(name: str) -> list[str]:
    """The totals that a corruption is part of."""
    return ["all"] if name == "mean_shift" else ["fifteen", "all"]


def milliseconds(call: Callable[[], Any], least_seconds: float) -> float:
    """The least CPU time of a call, in ms; other work on the machine can only add to it."""
    call()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < least_seconds and len(times) < 30):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times) * 1e3


def photograph(path: Path, size: str) -> NDArray[np.uint8]:
    """The photograph, resized to a size such as "640x426"."""
    width, height = map(int, size.split("x"))
    pixels = np.array(Image.open(path).convert("RGB"))
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def compare(
    photo: NDArray[np.uint8], names: list[str], least: float
) -> tuple[dict[str, list[float]], list[str]]:
    """Print a line per corruption; the totals, and what is further than 1 level off."""
    totals, wrong = {key: [0.0, 0.0] for key in ("fifteen", "all")}, []
    size = f"{photo.shape[1]}x{photo.shape[0]}"
    print(f"{'ms, ' + size:24}" + "".join(f"{v + ' plain':>12}{'ours':>8}{'':>8}" for v in LEVELS))
    for name in names:
        line, reference = f"{name:24}", globals()[name]
        for level in LEVELS:
            params = sample(name, photo.shape, level=level, seed=3)
            if name not in NOT_COMPARED:
                off = int(np.abs(reference(photo, params).astype(int) - apply(name, photo, params)).max())
                # A plain call's pixels depend on the OpenCV installed: see benchmarks/opencv_matrix.py.
                if off > 1 and name not in ("lens_flare", "atmospheric_turbulence"):
                    wrong.append(f"{name} {level}: {off}")
            plain = milliseconds(lambda f=reference, p=params: f(photo, p), least)
            ours = milliseconds(lambda n=name, p=params: apply(n, photo, p), least)
            for key in _sums_with(name):
                totals[key][0] += plain
                totals[key][1] += ours
            behind = ours - plain > 0.1 if plain < 1 else plain / ours < 0.85
            line += f"{plain:12.2f}{ours:8.2f}{plain / ours:6.2f}x{'*' if behind else ' '}"
        print(line, flush=True)
    return totals, wrong


def one_table_pass(photo: NDArray[np.uint8], least: float) -> float:
    """Print how often `corrupt` of a corruption that draws nothing takes the time of one `cv2.LUT`."""
    table = np.arange(256).astype(np.uint8)
    plain = milliseconds(lambda: cv2.LUT(photo, table), least)
    ours = milliseconds(lambda: corrupt(photo, "dark_illumination", level="hard"), least)
    print(f"corrupt(dark_illumination): {ours:.2f} ms, one cv2.LUT {plain:.2f} ms: {ours / plain:.2f}x")
    return ours / plain


def everyday(photo: NDArray[np.uint8], fifteen: float, guard: float, least: float) -> bool:
    """Print a line per corruption of `everyday`; True if it is slow beside the fifteen's mean call, in ms."""
    means = {}
    for name in get_corruption_names("everyday"):
        drawn = [sample(name, photo.shape, level=level, seed=3) for level in LEVELS]
        times = [milliseconds(lambda n=name, p=params: apply(n, photo, p), least) for params in drawn]
        means[name] = sum(times) / len(times)
        print(f"{name:32}" + "".join(f"{ms:8.2f}" for ms in times) + f"{means[name] / fifteen:8.2f}x")
    together = sum(means.values()) / len(means) / fifteen
    print(f"everyday: {together:.2f}x the fifteen's mean call of {fifteen:.2f} ms")
    return together > guard or max(means.values()) > 2 * guard * fifteen


def first_calls() -> None:
    """Print the CPU time of the import, the first and the second call in a new process."""
    print("\nfirst call at 640x426, hard, CPU ms in a new process: import, first call, second call")
    for name in FIRST_CALLS:
        with tempfile.TemporaryDirectory() as empty:
            for state in ("cold", "warm"):
                # Cold: numba has nothing compiled; warm: what the process before this one left.
                done = subprocess.run(
                    [sys.executable, "-c", FIRST_CALL, name],
                    env=os.environ | {"NUMBA_CACHE_DIR": empty},
                    capture_output=True,
                    text=True,
                    check=True,
                )
                times = "".join(f"{float(number):10.1f}" for number in done.stdout.split())
                print(f"{name:24}{state:8}{times}", flush=True)


def main() -> int:
    """Compare at each size; 1 if pixels are more than 1 level off, or the corruptions too slow."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a small image, without mean_shift")
    parser.add_argument("--image", type=Path, default=PHOTO, help="a photograph, resized to each size")
    parser.add_argument("--size", nargs="+", default=SIZES, metavar="WxH", help="sizes in px")
    parser.add_argument("--fifteen", action="store_true", help="without mean_shift")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    # The state after the first dozen photographs of a build.
    for kernel in (_inpainting, _saturation):
        kernel._PIXELS_BEFORE_NUMBA = kernel._PIXELS_BEFORE_KERNEL = 0  # noqa: SLF001
    names = get_corruption_names()
    if options.fifteen or options.smoke:
        names.remove("mean_shift")
    print(f"OpenCV {cv2.__version__}:{cv2.getCPUFeaturesLine()}")
    guards = {"640x426": GUARD, "384x288": processor.guard(SMOKE_GUARDS)}
    failed, least = False, 0.0 if options.smoke else 0.2
    for size in ["384x288"] if options.smoke else options.size:
        photo = photograph(options.image, size)
        totals, wrong = compare(photo, names, least)
        for key, (plain, ours) in totals.items():
            # The guard is about a photograph of usual size.
            guard = guards.get(size, 0.0) if key == "fifteen" else 0.0
            failed = failed or plain / ours < guard
            below = f"  BELOW {guard}" if plain / ours < guard else ""
            print(f"{key + ', three levels':24}{plain:12.1f}{ours:8.1f}{plain / ours:6.2f}x{below}")
        calls = len(LEVELS) * sum(name != "mean_shift" for name in names)
        mean = totals["fifteen"][1] / calls
        failed = everyday(photo, mean, EVERYDAY_GUARDS[options.smoke], least) or failed
        passes = one_table_pass(photo, least)
        slow = size in ("1024x768", "384x288") and passes > LUT_GUARDS[options.smoke]
        failed = failed or bool(wrong) or slow
        print("\n".join(f"more than 1 level from the plain form: {line}" for line in wrong), flush=True)
    if not options.smoke:
        first_calls()
    elif not processor.is_limited() and platform.machine() in ("x86_64", "AMD64"):
        return int(failed) | processor.again_limited(__file__, ["--smoke"])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
