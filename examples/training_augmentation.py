"""Degrade half of the pictures while training, so that a model has seen bad ones; pure NumPy and OpenCV.

Run it with a folder of pictures: it goes through two epochs and prints the corruption of each
picture. The draws depend on the pixels and the epoch, so that any worker, in any order, makes the
same ones. For albumentations and torchvision pipelines see docs/library.md.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from mmdbench.corruptions.choices import choice_of

CHOICE = choice_of(["capture", "environmental", "jpeg_compression"], intensity=(0.1, 0.9), p=0.5)


def augmented(pixels: np.ndarray, epoch: int) -> tuple[np.ndarray, str]:
    """The picture as the model sees it in an epoch, and its corruption."""
    drawn = CHOICE.for_image(pixels, seed=epoch)
    if drawn is None:
        return pixels, "clean"
    return drawn.corrupted(pixels), f"{drawn.corruption} at {drawn.intensity:.2f}"


def main(folder: Path) -> None:
    """Two epochs over the pictures of a folder."""
    for epoch in range(2):
        for path in sorted(folder.glob("*.[jp][pn]g")):
            batch, what = augmented(np.array(Image.open(path).convert("RGB")), epoch)
            print(f"epoch {epoch}, {path.name}, {batch.shape[1]}×{batch.shape[0]}: {what}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
