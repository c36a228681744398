"""Pictures that a training set cannot degrade."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdbench.corruptions.chain import Chain
from mmdbench.errors import ImageDecodeError
from mmdbench.records import RunPlan
from mmdbench.training.pictures import PictureFolder
from mmdbench.variants.recipes import clean_image
from pictures import picture, png


def test_a_side_that_is_too_long_for_a_chain_is_an_error_of_that_picture(tmp_path: Path) -> None:
    clean = clean_image(png(picture(1, 2, 32_767)), "own.tsv, line 3")
    folder = PictureFolder(tmp_path, 10**6)
    with pytest.raises(ImageDecodeError, match=r"own\.tsv, line 3: no picture with a chain: .*32767×2 px"):
        folder.from_chain(clean, Chain.of(("motion_blur", 0.4)), RunPlan("", ("own",)))
