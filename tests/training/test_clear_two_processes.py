"""CLEAR's training in two processes that share the model out (FSDP), on a CPU."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("accelerate", reason="accelerate is not installed (extra: train)")

from safetensors.torch import load_file  # noqa: E402

from mmdbench.library.training import train  # noqa: E402

CONFIG = "preset: tiny\nsave_every: 1\nsettings: {optimiser: {steps: 2, warmup_steps: 0}}\n"


def one_of_two(rank: int, port: int, config: Path, out: Path) -> None:
    """One process, with the variables that `accelerate launch` sets."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    train("clear-sft", config, out, progress=False)
    torch.distributed.destroy_process_group()


def train_in_two(config: Path, out: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Forked processes would inherit that accelerate ran in one process, if an earlier test trained here.
    fresh = multiprocessing.get_context("spawn")
    processes = [fresh.Process(target=one_of_two, args=(rank, port, config, out)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]


@pytest.mark.slow
def test_two_processes_share_a_model_and_resume_to_the_same_weights(tmp_path):
    config, out = tmp_path / "train.yaml", tmp_path / "run"
    config.write_text(CONFIG)
    train_in_two(config, out)
    last = out / "0000002"
    assert len(list(last.glob("optimizer.*-of-00002.pt"))) == 2
    whole = {name: load_file(last / f"{name}.safetensors") for name in ("model", "ema")}
    begun = load_file(out / "tiny/model/ema-00001.safetensors")
    assert {k: v.shape for k, v in whole["model"].items()} == {k: v.shape for k, v in begun.items()}
    assert not torch.equal(whole["model"]["llm2vae.weight"], begun["llm2vae.weight"])
    shutil.rmtree(last)
    train_in_two(config, out)  # from the first step's checkpoint
    for name, tensors in whole.items():
        again = load_file(last / f"{name}.safetensors")
        assert all(torch.equal(tensors[key], again[key]) for key in tensors)
