"""Families without an entry of their own, with the classes of the installed transformers."""

from __future__ import annotations

import functools
import sys
import tempfile
from pathlib import Path

import pytest

import torchvision_shim
from pictures import picture, png

if reason := torchvision_shim.why_not("torch", "torchvision", "transformers"):
    pytest.skip(reason, allow_module_level=True)

from mmdbench.adapters.hf import load
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from mmdbench.errors import MissingExtraError
from mmdbench.models import ModelCard
from mmdbench.records import ImageBytes, Request
from optional_packages import needs
from tiny_current import CURRENT

# GLM's image processor makes arrays of tensors in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

_folders = tempfile.TemporaryDirectory(prefix="tiny-current-")


@functools.cache
def built(name):
    """The folder of a tiny checkpoint, built once in a process."""
    return CURRENT[name](Path(_folders.name) / name)


def card(name, batch=3):
    return ModelCard(
        name, "hf", model=str(built(name)), options={"batch": batch}, generation={"max_new_tokens": 8}
    )


def requests():
    images = [
        ImageBytes(png(picture(i, *size)), "image/png")
        for i, size in enumerate(((48, 64), (64, 48), (90, 30)))
    ]
    return [Request(str(i), f"What{' really' * i}?", "", {}, (image,)) for i, image in enumerate(images)]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs("num2words") if name == "smolvlm" else ()) for name in CURRENT]
)
def test_a_family_without_an_entry_is_asked_by_its_own_template(name):
    assert name in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    model = load(card(name))
    together = model.generate(requests())
    assert [o.text for o in together] == [model.generate([asked])[0].text for asked in requests()]
    assert {o.status for o in together} <= {"ok", "truncated", "empty"}
    assert len({o.text for o in together}) >= 2, "answers must depend on what is shown and asked"
    found = model.fingerprint()
    assert found["family"] == "generic"
    assert found["images"]["processor"].endswith("Pil")


def test_a_family_that_takes_videos_needs_torchvision(monkeypatch):
    built("qwen3_vl")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"torchvision.*mmdbench\[hf\]"):
        load(card("qwen3_vl"))
