"""Current families, with the classes of the installed transformers; only InternVL has an entry of its own."""

from __future__ import annotations

import functools
import re
import sys
import tempfile
from pathlib import Path

import pytest

import torchvision_shim
from pictures import picture, png

if reason := torchvision_shim.why_not("torch", "torchvision", "transformers"):
    pytest.skip(reason, allow_module_level=True)

import torch
from mmdbench.adapters._hf.prompts import prepare
from mmdbench.adapters.hf import load
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from mmdbench.errors import MissingExtraError, UsageError
from mmdbench.models import ModelCard
from mmdbench.records import ImageBytes, Request
from optional_packages import needs
from tiny_checkpoints import open_with_checkpoint
from tiny_current import CURRENT
from tiny_recent import RECENT

# GLM's image processor makes arrays of tensors in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FAMILIES = {**CURRENT, **RECENT}
"""Model type → the function that writes its tiny checkpoint."""

_folders = tempfile.TemporaryDirectory(prefix="tiny-current-")


@functools.cache
def built(name):
    """The folder of a tiny checkpoint, built once in a process."""
    with torch.random.fork_rng():
        torch.manual_seed(7)  # some layers draw their biases themselves
        return FAMILIES[name](Path(_folders.name) / name)


def card(name, batch=3, **options):
    return ModelCard(
        name,
        "hf",
        model=str(built(name)),
        options={"batch": batch, **options},
        generation={"max_new_tokens": 8},
    )


def shown(number, size):
    return (ImageBytes(png(picture(number, *size)), "image/png"),)


def requests():
    sizes = ((48, 64), (64, 48), (90, 30))
    return [Request(str(i), f"What{' really' * i}?", "", {}, shown(i, size)) for i, size in enumerate(sizes)]


def scores_of_first_token(model, loaded, asked):
    """The logits of the answer's first token, R×V for R requests in one batch."""
    prepared = [prepare(request, loaded.checkpoint.family, loaded.processor) for request in asked]
    with torch.inference_mode():
        return loaded.model(**model.inputs(prepared)).logits[:, -1]


every_family = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs("num2words") if name == "smolvlm" else ()) for name in FAMILIES]
)


@every_family
def test_a_current_family_is_asked_by_its_own_template(name):
    assert name in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    model = load(card(name))
    together = model.generate(requests())
    assert [o.text for o in together] == [model.generate([asked])[0].text for asked in requests()]
    assert {o.status for o in together} <= {"ok", "truncated", "empty"}
    assert len({o.text for o in together}) >= 2, "answers must depend on what is shown and asked"
    found = model.fingerprint()
    assert found["family"] == ("internvl" if name == "internvl" else "generic")
    # Molmo 2 has no other image processor than torchvision's.
    assert found["images"]["processor"].endswith("Pil") or name == "molmo2"


def test_the_page_names_the_families_that_are_tried():
    page = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text("utf-8")
    table = page.partition("| models | type in `config.json` | family |")[2].partition("\n\n")[0]
    types = [row.split("|")[2] for row in table.splitlines() if row.count("|") == 4]
    assert set(re.findall(r"`(\w+)`", " ".join(types))) == set(FAMILIES)


@every_family
def test_another_picture_gives_other_scores_and_a_batch_the_same_as_each_alone(name):
    model, loaded = open_with_checkpoint(card(name))
    first, second = (Request("0", "What?", "", {}, shown(number, (48, 64))) for number in range(2))
    alone = scores_of_first_token(model, loaded, [first])
    assert (alone - scores_of_first_token(model, loaded, [second])).abs().max() > 0.01 * alone.std()
    together = scores_of_first_token(model, loaded, [first, *requests()[1:]])
    torch.testing.assert_close(together[:1], alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["gemma4", "minicpmv4_6"])
def test_bounds_of_pixels_where_a_number_of_tokens_decides(name):
    with pytest.raises(UsageError, match="no bounds of pixels"):
        load(card(name, max_pixels=4096))


def test_a_backend_that_a_family_lacks_is_not_replaced():
    with pytest.raises(UsageError, match="'pil', only Molmo2ImageProcessor"):
        load(card("molmo2", image_backend="pil"))
    assert load(card("molmo2")).fingerprint()["images"]["processor"] == "Molmo2ImageProcessor"


def test_a_family_that_takes_videos_needs_torchvision(monkeypatch):
    built("qwen3_vl")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"torchvision.*mmdbench\[hf\]"):
        load(card("qwen3_vl"))
