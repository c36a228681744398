"""Devices and packages that a checkpoint needs, refused before it is loaded."""

from __future__ import annotations

from clear_checkpoints import SIZES, card, torch, write_checkpoint  # isort: skip

from importlib import util
from pathlib import Path

import pytest
from mmdbench.adapters import clear
from mmdbench.adapters._clear.memory import check_memory
from mmdbench.adapters._local.devices import pick_device

from mmdbench.bagel.loading import BagelCheckpoint, open_checkpoint
from mmdbench.errors import MissingExtraError, ModelError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def opened(folder: Path, *, generation: bool = True) -> BagelCheckpoint:
    return open_checkpoint(folder, folder / "ema.safetensors", SIZES, generation=generation)


def test_too_little_memory_is_an_error_before_loading(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10_000, 20_000))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "A card")
    with pytest.raises(ModelError, match=r"A card has 0\.0 GiB free.*mode without restorations"):
        check_memory(opened(made), torch.device("cuda", 0), torch.bfloat16)
    with pytest.raises(ModelError, match=r"GiB in float32.*Use a larger GPU or dtype bfloat16"):
        check_memory(opened(made, generation=False), torch.device("cuda", 0), torch.float32)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**30, 2**31))
    check_memory(opened(made), torch.device("cuda", 0), torch.bfloat16)
    check_memory(opened(made), CPU, torch.float32)


def test_devices() -> None:
    with pytest.raises(ModelError, match="torch knows no device"):
        pick_device("gpu7")
    if not torch.cuda.is_available():
        assert pick_device("auto") == CPU
        with pytest.raises(ModelError, match="no GPU"):
            pick_device("cuda")


def test_a_missing_package_names_the_install(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "torch" else found(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'mmdbench\[clear\]'"):
        clear.load(card(made))
