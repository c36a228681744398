"""The callbacks in real trainings by transformers' Trainer and by Lightning."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest

import mmdbench
from mmdbench.errors import MmdbenchError, UsageError
from optional_packages import needs
from torchvision_shim import why_not

if reason := why_not("torch"):
    pytest.skip(f"{reason} (extra hf)", allow_module_level=True)

import torch
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers


class Net(nn.Module):
    """One weight behind a dropout, so that a draw or a mode too many would change its losses."""

    def __init__(self):
        super().__init__()
        self.layer, self.dropout = nn.Linear(4, 1), nn.Dropout(0.5)
        self.frozen = nn.Dropout(0.5).eval()

    def forward(self, x, labels=None):
        out = self.frozen(self.dropout(self.layer(x))).squeeze(-1)
        return {"loss": ((out - labels) ** 2).mean(), "logits": out}


class Measured:
    """A measurement that draws from every generator, and keeps its steps and the state of the model."""

    def __init__(self, model):
        self.model, self.steps, self.closed = model, [], 0

    def __call__(self, step):
        assert not self.model.training
        assert not self.model.dropout.training
        assert not torch.is_grad_enabled()
        _ = torch.rand(3), random.random(), np.random.rand()
        self.steps.append(step)

    def close(self):
        self.closed += 1


def rows(count=8):
    generator = torch.Generator().manual_seed(0)
    return [{"x": torch.rand(4, generator=generator), "labels": torch.tensor(1.0)} for _ in range(count)]


def model_of():
    torch.manual_seed(0)
    return Net()


def weights(model):
    return model.layer.weight.detach().clone()


def trained_by_transformers(folder, model, callbacks, steps=5, **arguments):
    from transformers import Trainer, TrainingArguments

    settings = TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=2, report_to="none", seed=1,
        save_strategy="no", logging_strategy="no", use_cpu=True, disable_tqdm=True, **arguments,
    )  # fmt: skip
    Trainer(model, settings, train_dataset=rows(), callbacks=callbacks).train()
    return weights(model)


def trained_by_lightning(folder, model, callbacks, steps=5, **arguments):
    from lightning.pytorch import LightningModule, Trainer, seed_everything

    class Module(LightningModule):
        def __init__(self):
            super().__init__()
            self.net = model

        def training_step(self, batch, index):
            return self.net(**batch)["loss"]

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    seed_everything(1, verbose=False)
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    trainer = Trainer(
        max_steps=steps,
        default_root_dir=folder,
        enable_checkpointing=False,
        callbacks=callbacks,
        **quiet,
        **arguments,
    )
    trainer.fit(Module(), torch.utils.data.DataLoader(rows(), batch_size=2))
    return weights(model)


TRAINERS = [
    pytest.param(
        "transformers",
        trained_by_transformers,
        "gradient_accumulation_steps",
        marks=needs("transformers", "accelerate"),
    ),
    pytest.param("lightning", trained_by_lightning, "accumulate_grad_batches", marks=needs("lightning")),
]


def callback(name, measure, every, **options):
    module = __import__(f"mmdbench.integrations.{name}", fromlist=["DropCallback"])
    return module.DropCallback(measure, every, **options)


@pytest.mark.parametrize(("name", "train", "accumulate"), TRAINERS)
def test_measured_at_the_start_every_so_many_steps_and_at_the_end(tmp_path, name, train, accumulate):
    model = model_of()
    measure = Measured(model)
    train(tmp_path, model, [callback(name, measure, 2)])
    assert measure.steps == [0, 2, 4, 5]
    assert measure.closed == 1
    model = model_of()
    measure = Measured(model)
    train(tmp_path, model, [callback(name, measure, 2, at_start=False)], steps=4, **{accumulate: 2})
    assert measure.steps == [2, 4]


@pytest.mark.parametrize(("name", "train", "accumulate"), TRAINERS)
def test_a_measured_training_gives_the_same_weights_and_modes(tmp_path, name, train, accumulate):
    plain, measured = model_of(), model_of()
    expected = train(tmp_path, plain, [])
    assert torch.equal(train(tmp_path, measured, [callback(name, Measured(measured), 1)]), expected)
    assert [m.training for m in measured.modules()] == [m.training for m in plain.modules()]


@pytest.mark.parametrize(("name", "train", "accumulate"), TRAINERS)
def test_the_drop_of_the_model_in_training_is_logged(tmp_path, make_tsv, name, train, accumulate):
    model, logged = model_of(), []

    def answer(images, prompt):
        pixels = torch.tensor(
            np.asarray(images[0].resize((2, 2)).convert("L")), dtype=torch.float32
        ).flatten()
        return "AB"[int(model(pixels / 255, labels=torch.tensor(0.0))["logits"] > 0)]

    monitor = mmdbench.DropMonitor(
        answer,
        make_tsv(8),
        out=tmp_path / "drops",
        sample=4,
        codec="png",
        log_to=lambda *given: logged.append(given),
    )
    train(tmp_path / "training", model, [callback(name, monitor, 3)])
    assert [step for _, step in logged] == [0, 3, 5]
    assert all("robustness/toy/drop_hard" in numbers for numbers, _ in logged)
    assert mmdbench.load_run(tmp_path / "drops" / "step-3").complete


@pytest.mark.parametrize(("name", "train", "accumulate"), TRAINERS)
def test_an_error_of_the_first_measurement_is_raised_before_the_first_step(tmp_path, name, train, accumulate):
    model = model_of()
    before = weights(model)

    class Broken(Measured):
        def __call__(self, step):
            raise MmdbenchError("no such benchmark")

    with pytest.raises(MmdbenchError, match="no such benchmark"):
        train(tmp_path, model, [callback(name, Broken(model), 2)])
    assert torch.equal(weights(model), before)
    assert model.dropout.training


def test_weights_split_over_processes_are_refused_and_other_processes_do_not_measure():
    measure = Measured(model_of())
    if not why_not("transformers"):
        hook = callback("transformers", measure, 1)
        split = SimpleNamespace(world_size=2, fsdp=["full_shard"], deepspeed=None)
        state = SimpleNamespace(is_world_process_zero=False, global_step=1)
        with pytest.raises(UsageError, match="under FSDP"):
            hook.on_train_begin(split, state, None, model=measure.model)
        split.fsdp = []
        hook.on_train_begin(split, state, None, model=measure.model)
        hook.on_step_end(split, state, SimpleNamespace(should_training_stop=True), model=measure.model)
    if not why_not("lightning"):
        hook = callback("lightning", measure, 1)
        strategy = type("FSDPStrategy", (), {})()
        trainer = SimpleNamespace(world_size=2, strategy=strategy, is_global_zero=False, global_step=1)
        with pytest.raises(UsageError, match="under FSDPStrategy"):
            hook.on_train_start(trainer, measure.model)
        trainer.strategy = None
        hook.on_train_start(trainer, measure.model)
        hook.on_train_batch_end(trainer, measure.model, None, None, 0)
    assert measure.steps == []


@pytest.mark.parametrize("every", [0, -1, 1.5])
def test_every_is_a_whole_number(every):
    with pytest.raises(UsageError, match="every must be"):
        callback("transformers" if not why_not("transformers") else "lightning", Measured(model_of()), every)
