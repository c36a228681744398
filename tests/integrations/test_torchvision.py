"""The v2 transform with the real torchvision: kinds of input, generators, batches, samples."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from mmdbench import corrupt
from mmdbench.errors import ImageInputError, IntensityError, UnknownNameError, UsageError
from pictures import picture
from profiled_pictures import ORIENTATION, encoded, opened, photo, rgb_profile, shown
from torchvision_shim import why_not

if reason := why_not("torch", "torchvision"):
    pytest.skip(f"{reason} (extra torchvision)", allow_module_level=True)

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from mmdbench.integrations.torchvision import MMDCorruption, corrupt_tensor

IMAGE = picture(1, 60, 80)
TENSOR = torch.from_numpy(IMAGE).permute(2, 0, 1)


def array(tensor):
    return tensor.movedim(-3, -1).numpy()


@pytest.mark.parametrize("name", ["graffiti", "gaussian_noise", "jpeg_compression"])
def test_tensors_get_the_pixels_of_arrays(name):
    made = corrupt_tensor(TENSOR, name, level="hard", seed=4)
    assert (array(made) == corrupt(IMAGE, name, level="hard", seed=4)).all()
    assert (made.dtype, made.shape) == (torch.uint8, TENSOR.shape)
    seeded = MMDCorruption(name, level="hard", seed=4)
    assert (seeded(TENSOR) == made).all()
    assert (np.asarray(seeded(Image.fromarray(IMAGE))) == array(made)).all()


@pytest.mark.parametrize("seed", [None, 3])
def test_a_picture_with_an_orientation_is_corrupted_as_it_is_seen(seed):
    lying = opened(encoded(photo(), "PNG", 6, rgb_profile()))
    transform = MMDCorruption("motion_blur", level="hard", seed=seed)
    torch.manual_seed(0)
    made = transform(lying)
    torch.manual_seed(0)
    expected = transform(Image.fromarray(np.ascontiguousarray(shown(lying))))
    assert (made.size, made.getexif()[ORIENTATION]) == ((60, 40), 6)
    assert made.info["icc_profile"] == rgb_profile()
    assert np.array_equal(shown(made), np.asarray(expected))


def test_batches_with_a_seed_for_each_image():
    batch = torch.stack([TENSOR] * 3)
    made = corrupt_tensor(batch, "graffiti", level="hard", seed=[1, 2, 1])
    assert (made[0] == made[2]).all()
    assert (made[0] != made[1]).any()
    assert (array(made)[1] == corrupt(IMAGE, "graffiti", level="hard", seed=2)).all()
    assert corrupt_tensor(batch[:0], "graffiti", level="hard").shape == (0, 3, 60, 80)
    with pytest.raises(UsageError, match="one for each of 3 images, got 2 numbers"):
        corrupt_tensor(batch, "graffiti", level="hard", seed=[1, 2])


def test_the_seed_of_torch_repeats_the_draws():
    transform = MMDCorruption()
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        runs.append(torch.stack([transform(TENSOR) for _ in range(5)]))
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()
    assert len({made.numpy().tobytes() for made in runs[0]}) == 5


def test_a_batch_is_drawn_image_by_image_and_starts_like_a_single_one():
    transform = MMDCorruption()
    torch.manual_seed(3)
    batch = transform(torch.stack([TENSOR] * 6))
    torch.manual_seed(3)
    assert (transform(TENSOR) == batch[0]).all()
    assert len({made.numpy().tobytes() for made in batch}) == 6


def test_with_a_seed_the_draw_follows_from_the_pixels():
    transform, images = (
        MMDCorruption(seed=5),
        [torch.from_numpy(picture(k)).permute(2, 0, 1) for k in range(4)],
    )
    state = torch.get_rng_state()
    forth = torch.stack([transform(image) for image in images])
    assert (transform(torch.stack(images[::-1])).flip(0) == forth).all()
    assert (torch.get_rng_state() == state).all()
    assert any((MMDCorruption(seed=6)(i) != f).any() for i, f in zip(images, forth, strict=True))


def test_p_is_for_each_image():
    torch.manual_seed(0)
    batch = torch.stack([TENSOR] * 200)
    made = MMDCorruption("dark_illumination", level="hard", p=0.3)(batch)
    assert 30 < (made != batch).any(dim=3).any(dim=2).any(dim=1).sum() < 95
    assert (MMDCorruption(p=0)(TENSOR) == TENSOR).all()


def test_a_sample_keeps_its_masks_boxes_and_labels():
    sample = {
        "image": tv_tensors.Image(TENSOR),
        "again": tv_tensors.Image(TENSOR),
        "mask": tv_tensors.Mask(torch.arange(60 * 80).reshape(60, 80).to(torch.uint8)),
        "boxes": tv_tensors.BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(60, 80)),
        "label": torch.tensor(7, dtype=torch.uint8),
    }
    made = MMDCorruption("graffiti", level="hard")(sample)
    assert type(made["image"]) is tv_tensors.Image
    assert (made["image"] != TENSOR).any()
    assert (made["image"] == made["again"]).all()
    for key in ("mask", "boxes", "label"):
        assert made[key] is sample[key]


def test_the_frames_of_a_video_share_what_is_drawn():
    made = MMDCorruption("graffiti", level="hard")(tv_tensors.Video(torch.stack([TENSOR] * 3)))
    assert type(made) is tv_tensors.Video
    assert (made[0] == made[1]).all()
    assert (made[0] != TENSOR).any()


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_alpha_tensors(channels):
    image = torch.full((channels, 40, 50), 120, dtype=torch.uint8)
    made = MMDCorruption("gaussian_noise", level="hard")(image)
    assert made.shape == image.shape
    assert (made != image).any()
    if channels == 4:
        assert (made[3] == 120).all()


def test_the_input_is_not_changed_and_shares_no_memory():
    before = TENSOR.clone()
    for p in (0.0, 1.0):
        made = MMDCorruption("graffiti", level="hard", p=p)(TENSOR)
        made += 1
    assert (before == TENSOR).all()


def test_compose_pickle_and_repr():
    transform = v2.Compose(
        [v2.PILToTensor(), MMDCorruption("capture", level="low", seed=1), v2.ToDtype(torch.float32)]
    )
    image = Image.fromarray(IMAGE)
    again = pickle.loads(pickle.dumps(transform))
    assert (again(image) == transform(image)).all()
    assert "capture" in repr(transform)


def test_invalid_arguments_are_refused():
    with pytest.raises(ImageInputError, match="ToDtype"):
        MMDCorruption()(TENSOR.float())
    with pytest.raises(ImageInputError, match="C×H×W"):
        MMDCorruption()(torch.zeros(60, 80, 3, dtype=torch.uint8))
    with pytest.raises(UnknownNameError):
        MMDCorruption("motionblur")
    with pytest.raises(IntensityError):
        MMDCorruption(intensity=7)
