"""CPU milliseconds of corruptions that other libraries have too, and of `lmms-eval --help`, in one run.

    python benchmarks/peers.py [--only albumentations] [--size 640x426]

Each peer is installed into an environment of its own, which is deleted afterwards; its calls and ours run
one after the other in new processes, on one thread and on the same picture. What is compared does the same
kind of work at about the same strength, but not to the byte: a table of 256 entries, JPEG of the same
quality, a line blur with about as many taps, noise of about the same deviation, a change of saturation. No
peer has what else our corruptions do, such as mixing a layer in. kornia is not measured: it needs torch,
which is not small.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import startup

PHOTO = Path(__file__).resolve().parents[1] / "tests" / "golden" / "corruptions" / "astronaut_256x192.png"
MEASURE = """
import json, sys, time
import cv2
import numpy as np
cv2.setNumThreads(1)
width, height = map(int, sys.argv[2].split("x"))
image = cv2.resize(cv2.imread(sys.argv[1])[..., ::-1], (width, height), interpolation=cv2.INTER_CUBIC)

def least_ms(call):
    times = []
    while len(times) < 4 or (sum(times) < 0.3 and len(times) < 40):
        start = time.process_time()
        call(image)
        times.append(time.process_time() - start)
    return 1e3 * min(times[1:])

CALLS
print(json.dumps({name: least_ms(call) for name, call in calls.items()}))
"""
OURS = """
from mmdbench import corrupt
names = ("dark_illumination", "jpeg_compression", "motion_blur", "gaussian_noise", "hsv_saturation")
calls = {name: lambda image, name=name: corrupt(image, name, level="mid") for name in names}
"""
PEERS = {
    "albumentations": (
        ["albumentations==2.0.8"],
        """
import albumentations as A
one = {
    "dark_illumination": A.RandomBrightnessContrast((-0.2, -0.2), (0, 0), p=1),
    "jpeg_compression": A.ImageCompression(quality_range=(57, 57), p=1),
    "motion_blur": A.MotionBlur(blur_limit=(13, 13), p=1),
    "gaussian_noise": A.GaussNoise(std_range=(0.13, 0.13), p=1),
    "hsv_saturation": A.HueSaturationValue((0, 0), (-100, -100), (0, 0), p=1),
}
calls = {name: lambda image, t=transform: t(image=image) for name, transform in one.items()}
""",
    ),
    "imagecorruptions-imaug": (
        ["imagecorruptions-imaug"],
        """
from imagecorruptions import corrupt
one = {"jpeg_compression": 1, "motion_blur": 2, "gaussian_noise": 3, "hsv_saturation": 1}
names = {"hsv_saturation": "saturate"}
calls = {
    name: lambda image, name=name, severity=severity: corrupt(
        image, corruption_name=names.get(name, name), severity=severity
    )
    for name, severity in one.items()
}
""",
    ),
}


@contextmanager
def environment_with(requirements: list[str], *options: str) -> Iterator[Path]:
    """A new environment with some packages; its folder of commands."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        commands = Path(folder) / ("Scripts" if os.name == "nt" else "bin")
        subprocess.run(
            [commands / "python", "-m", "pip", "install", "-q", *options, *requirements], check=True
        )
        yield commands


def cpu_ms(python: str | Path, calls: str, size: str) -> dict[str, float]:
    """The least CPU time of each call that a snippet names, in ms, in a new process of a Python."""
    done = subprocess.run(
        [python, "-W", "ignore", "-c", MEASURE.replace("CALLS", calls), PHOTO, size],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"},
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(peer: str, size: str) -> None:
    """Print a row for each corruption that a peer has too."""
    requirements, calls = PEERS[peer]
    with environment_with(requirements) as commands:
        ours, theirs = cpu_ms(sys.executable, OURS, size), cpu_ms(commands / "python", calls, size)
    print(f"| ms at {size} | {peer} | mmdbench | ratio |\n|---|---|---|---|")
    for name, milliseconds in theirs.items():
        print(
            f"| {name} | {milliseconds:.2f} | {ours[name]:.2f} | {milliseconds / ours[name]:.1f} |",
            flush=True,
        )


def compare_help() -> None:
    """Print the start-up table with that of lmms-eval, which needs no other package for its help."""
    with environment_with(["lmms-eval"], "--no-deps") as commands, tempfile.TemporaryDirectory() as folder:
        for name, seconds in startup.measure(Path(folder), 5, str(commands / "lmms-eval")).items():
            print(f"| {name} | {seconds:.3f} |")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=[*PEERS, "lmms-eval"], help="names of peers")
    parser.add_argument("--size", default="640x426", metavar="WxH", help="the picture's size in px")
    chosen = parser.parse_args()
    for peer in chosen.only:
        if peer == "lmms-eval":
            compare_help()
        else:
            compare(peer, chosen.size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
