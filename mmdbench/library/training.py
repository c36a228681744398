"""`train`: the trainings of CLEAR and Robust-R1, from a configuration to checkpoints."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmdbench._version import __version__
from mmdbench.errors import MissingExtraError, UnknownNameError, UsageError
from mmdbench.library.trackers import LogTo, Tracker, open_tracker
from mmdbench.library.user_interface import ProgressBar, Shows, interface_of
from mmdbench.system.digest import file_hash
from mmdbench.system.files import append_whole, make_folder
from mmdbench.training.config import HardwareSettings, TrainingConfig, read_config, with_files_of_model
from mmdbench.training.footprint import Footprint
from mmdbench.training.presets import TASKS, changed, find_profile
from mmdbench.training.tiny_start import bring_tiny, threads_for

__all__ = ["LOG_FILE", "SAMPLES_FOLDER", "TINY_FOLDER", "forecast_training", "train"]

LOG_FILE = "log.jsonl"
"""The numbers of each step, a line each; a step that was made again after a stop has two."""

JUDGE_JOURNAL = "judge_journal.jsonl"
"""Replies of the judge of clear-grpo, none of which is asked for again."""

SAMPLES_FOLDER = "samples"
"""Pictures that CLEAR restored while it was trained."""

TINY_FOLDER = "tiny"
"""The model and the training set that the preset `tiny` brings."""

_PACKAGES = {
    "clear": ("torch", "transformers", "safetensors", "accelerate"),
    "robust": ("torch", "transformers", "safetensors", "accelerate", "trl", "torchvision"),
}


@dataclass(frozen=True, slots=True)
class _Plan:
    """A training as its configuration says it."""

    task: str
    config: TrainingConfig
    profile: Any
    data: Path

    @property
    def model(self) -> Path:
        return Path(self.config.model).expanduser()

    def settings(self) -> dict[str, str]:
        """The version of the code, and every setting by its name, for a tracker."""
        about = {"task": self.task, "code_version": __version__, **_flat(asdict(self.profile))}
        return {f"training/{name}": str(value) for name, value in about.items()}

    def origin(self, weights: list[dict[str, Any]]) -> dict[str, Any]:
        """Digests of the data and of the weights to start from."""
        return {"data": {self.data.name: file_hash(self.data, "sha256")}, "weights": weights}


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in groups as settings alone, with the name of the group before theirs."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        inner = _flat(value) if isinstance(value, Mapping) else {"": value}
        found |= {f"{name}.{rest}".rstrip("."): one for rest, one in inner.items()}
    return found


def train(
    task: str, config: str | Path, out: str | Path, *, log_to: LogTo | None = None, progress: Shows = True
) -> Path:
    """Train a model, or continue a training in its folder.

    Args:
        task: `clear-sft`, `clear-grpo`, `robust-r1-sft` or `robust-r1-grpo`.
        config: A YAML file with preset, model, data and settings; `tiny` for the preset that needs no more.
        out: The folder of the training: checkpoints, `log.jsonl` and pictures.
        log_to: `wandb`, `mlflow`, `trackio`, `tensorboard`, or a function of numbers and step.
        progress: True for a bar, False for none, or a function that gets the state.

    Returns:
        The folder of the last checkpoint.

    Raises:
        MissingExtraError: The extra `train` is not installed.
        UsageError: The configuration is not valid, or the folder holds another training.
        DataError: The configuration or the training set cannot be read.
    """
    plan = _planned(task, Path(config), Path(out) / TINY_FOLDER)
    with ExitStack() as opened:
        opened.enter_context(threads_for(plan.config.preset))
        log = opened.enter_context(_log(plan, make_folder(Path(out)), log_to, progress))
        if task == "clear-grpo":
            return _train_clear_grpo(plan, Path(out), log)
        if task.startswith("clear-"):
            return _train_clear(plan, Path(out), log)
        return _train_robust(plan, Path(out), log)


def forecast_training(task: str, config: str | Path) -> Footprint:
    """The memory and the time that a training needs; no weights are loaded.

    Args:
        task: `clear-sft`, `clear-grpo`, `robust-r1-sft` or `robust-r1-grpo`.
        config: A YAML file with preset, model, data and settings, or `tiny`.

    Returns:
        The forecast for the machine under `hardware` in the configuration.
    """
    with tempfile.TemporaryDirectory(prefix="mmdbench-") as folder:
        plan = _planned(task, Path(config), Path(folder))
        hardware = changed(HardwareSettings(), plan.config.hardware, "hardware")
        if task == "clear-grpo":
            from mmdbench.training.clear.grpo_start import open_grpo_start

            return open_grpo_start(plan.config, plan.data).footprint(plan.profile, hardware)
        if task.startswith("clear-"):
            from mmdbench.training.clear.start import open_start

            return open_start(plan.config, plan.data).footprint(plan.profile, hardware)
        from mmdbench.training.robust import start as robust

        return robust.forecast_training(plan.model, plan.data, plan.profile, hardware)


def _planned(task: str, path: Path, tiny: Path) -> _Plan:
    if task not in TASKS:
        raise UnknownNameError("training", task, TASKS)
    needed = _PACKAGES["clear" if task.startswith("clear-") else "robust"]
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise MissingExtraError(" and ".join(filter(None, (", ".join(missing[:-1]), missing[-1]))), "train")
    config = read_config(path, task)
    profile = find_profile(task, config.preset, config.settings)
    config = with_files_of_model(bring_tiny(config, task, tiny), task)
    return _Plan(task, config, profile, config.data_file(task))


class _Log:
    """The numbers of each step: in a file, on a bar, and in a tracker."""

    def __init__(self, file: Path, bar: ProgressBar, tracker: Tracker | None) -> None:
        self._file, self._bar, self._tracker = file, bar, tracker

    def __call__(self, step: int, steps: int, numbers: Mapping[str, float]) -> None:
        line = {"step": step, "time": round(time.time(), 3), **numbers}
        with self._file.open("ab") as file:
            append_whole(file, json.dumps(line).encode() + b"\n")
        loss = numbers.get("total", numbers.get("loss"))
        self._bar.update(step, steps, "" if loss is None else f"loss {loss:.4g}")
        if self._tracker is not None:
            self._tracker.log({f"training/{name}": value for name, value in numbers.items()}, step)


@contextmanager
def _log(plan: _Plan, out: Path, log_to: LogTo | None, progress: Shows) -> Iterator[_Log | None]:
    """The log of a training; None in processes that are not the first."""
    if os.environ.get("RANK", "0") != "0":
        yield None
        return
    interface = interface_of(progress)
    with ExitStack() as opened:
        tracker = None
        if log_to is not None:
            name = f"{plan.task} {plan.config.preset}"
            tracker = opened.enter_context(open_tracker(log_to, name, out / "tensorboard"))
            tracker.describe(plan.settings(), "")
        bar = opened.enter_context(interface.bar(f"train {plan.task}", "steps"))
        yield _Log(out / LOG_FILE, bar, tracker)


def _train_clear(plan: _Plan, out: Path, log: _Log | None) -> Path:
    from mmdbench.training.clear.checkpoints import latest_checkpoint
    from mmdbench.training.clear.loop import SftStep
    from mmdbench.training.clear.start import open_start

    start = open_start(plan.config, plan.data)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    training = start.training(plan.profile, out, plan.origin(start.places.digests()), processes=processes)
    look, every = start.sampler(training, out / SAMPLES_FOLDER), plan.config.sample_every

    def watch(done: SftStep) -> None:
        if log is not None:
            names = ("ce", "mse", "distillation", "total", "gradient_norm", "learning_rate", "rows")
            log(done.step, training.steps, {name: getattr(done, name) for name in names})
        if every and processes == 1 and done.step % every == 0:
            look(done.step)

    training.run(save_every=plan.config.save_every, watch=watch)
    if log is not None:
        start.places.complete(out)
    last = latest_checkpoint(out)
    assert last is not None
    return last


def _train_clear_grpo(plan: _Plan, out: Path, log: _Log | None) -> Path:
    from mmdbench.results.judging.open import JudgeOptions, open_judging
    from mmdbench.training.clear.checkpoints import latest_checkpoint
    from mmdbench.training.clear.grpo import GrpoStep
    from mmdbench.training.clear.grpo_rewards import RewardJudge
    from mmdbench.training.clear.grpo_start import open_grpo_start

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("clear-grpo runs in one process.", hint="Start it without accelerate launch.")
    start, own = open_grpo_start(plan.config, plan.data), plan.config
    asked = JudgeOptions(own.judge, max_usd=own.judge_max_usd) if own.judge else None
    with open_judging(asked, out / JUDGE_JOURNAL) as judging:
        judge = None if judging is None else RewardJudge(judging.judge, judging.journal)
        training = start.training(plan.profile, out, plan.origin(start.places.digests()), judge)
        look = start.sampler(training, out / SAMPLES_FOLDER)

        def watch(done: GrpoStep) -> None:
            if log is not None:
                log(done.step, training.steps, done.numbers)
            if own.sample_every and done.step % own.sample_every == 0:
                look(done.step)

        training.run(save_every=own.save_every, watch=watch)
    start.places.complete(out)
    last = latest_checkpoint(out)
    assert last is not None
    return last


def _train_robust(plan: _Plan, out: Path, log: _Log | None) -> Path:
    from mmdbench.training.robust.start import model_digests
    from mmdbench.training.robust.trainers import RobustStart, train_grpo, train_sft

    origin = plan.origin(model_digests(plan.model))
    start = RobustStart(plan.model, plan.data, out, origin, plan.config.save_every, log)
    return (train_sft if plan.task == "robust-r1-sft" else train_grpo)(start, plan.profile)
