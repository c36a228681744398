"""Robust-R1's trainings: TRL's trainers with our examples, rewards, frozen vision parts and records."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from datasets import Image as ImageColumn
from transformers import AutoModelForImageTextToText, AutoProcessor, PrinterCallback, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from mmdbench._version import __version__
from mmdbench.errors import UsageError
from mmdbench.models.instructions import find_instruction
from mmdbench.system.files import make_folder, write_atomic
from mmdbench.system.json_text import parse_json
from mmdbench.training.robust.examples import ChainSource, read_examples
from mmdbench.training.robust.profiles import VISION, ChainGrpoProfile, ChainSftProfile, TrainerSettings
from mmdbench.training.robust.rewards import RewardFunction, reward_functions

__all__ = ["RECORD_FILE", "RobustStart", "Watch", "freeze_vision", "train_grpo", "train_sft"]

RECORD_FILE = "training.json"
"""The record of a checkpoint."""

Watch = Callable[[int, int, Mapping[str, float]], None]
"""A function of the step, the number of steps, and the numbers of the step by name."""


@dataclass(frozen=True, slots=True)
class RobustStart:
    """The folders of the model, and of the training; the training set; the origin of data and weights."""

    model: Path
    data: Path
    folder: Path
    origin: Mapping[str, Any] = field(default_factory=dict)
    save_every: int = 0
    watch: Watch | None = None


@contextmanager
def _without_old_names() -> Iterator[None]:
    """Silence the warnings about TRL's own use of names that transformers has renamed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*gradient_checkpointing.*deprecated", FutureWarning)
        yield


@_without_old_names()
def train_sft(start: RobustStart, profile: ChainSftProfile) -> Path:
    """The supervised training, begun in a folder or continued there.

    Args:
        start: The places, and the function to call after each step.
        profile: All settings.

    Returns:
        The folder of the last checkpoint, which transformers loads.

    Raises:
        UsageError: The folder holds another training.
        DataError: The training set is not whole.
    """
    rows = [
        {**row, "completion": [{"role": "assistant", "content": row.pop("solution")}]}
        for row in _examples(start, profile)
    ]
    settings = SFTConfig(
        **_common(start, profile),
        max_length=profile.max_rows,
        completion_only_loss=True,
        shuffle_dataset=False,
    )
    record = _record("robust-r1-sft", start, profile)
    model, processor = _loaded(start, record)
    trainer = SFTTrainer(model, settings, train_dataset=_dataset(rows), processing_class=processor)
    return _run(trainer, start, record)


@_without_old_names()
def train_grpo(
    start: RobustStart, profile: ChainGrpoProfile, more_rewards: Mapping[RewardFunction, float] | None = None
) -> Path:
    """The reinforcement learning, begun in a folder or continued there.

    Args:
        start: The places, and the function to call after each step.
        profile: All settings.
        more_rewards: Rewards of your own with their weights, beside those of the profile.

    Returns:
        The folder of the last checkpoint, which transformers loads.

    Raises:
        UsageError: The folder holds another training.
        DataError: The training set is not whole.
    """
    rows = _examples(start, profile)
    record = _record("robust-r1-grpo", start, profile)
    model, processor = _loaded(start, record)
    functions, weights = reward_functions(profile, lambda text: len(processor.tokenizer(text)["input_ids"]))
    own = dict(more_rewards or {})
    settings = GRPOConfig(
        **_common(start, profile),
        num_generations=profile.group,
        max_completion_length=profile.max_completion,
        temperature=profile.temperature,
        top_k=profile.top_k,
        top_p=profile.top_p,
        beta=profile.beta,
        epsilon=profile.epsilon,
        num_iterations=profile.iterations,
        reward_weights=[*weights, *own.values()],
        scale_rewards="group",
        loss_type="grpo",
        remove_unused_columns=False,
    )
    trainer = GRPOTrainer(
        model,
        [*functions, *own],
        args=settings,
        train_dataset=_dataset(rows),
        processing_class=processor,
    )
    return _run(trainer, start, record)


def freeze_vision(model: torch.nn.Module) -> None:
    """Let gradients flow to all tensors but those of the vision tower and its projector."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(VISION not in name)


def _examples(start: RobustStart, profile: ChainSftProfile | ChainGrpoProfile) -> list[dict[str, Any]]:
    instruction = find_instruction({"instruction": profile.targets.instruction})
    if instruction is None:
        raise UsageError("targets.instruction must name an instruction, such as robust-r1.")
    return read_examples(ChainSource(start.data, instruction, profile.targets.blocks))


def _dataset(rows: list[dict[str, Any]]) -> Dataset:
    return Dataset.from_list(rows).cast_column("image", ImageColumn(mode="RGB"))  # read when it is needed


def _loaded(start: RobustStart, record: Mapping[str, Any]) -> tuple[Any, Any]:
    """Model (float32, vision parts frozen) and processor, of the last checkpoint if there is one.

    The weights of a checkpoint are read here: transformers' Trainer looks for them under the names that
    they have in memory, which are not those of the file, and passes over what it does not find.
    """
    last = get_last_checkpoint(str(start.folder)) if start.folder.is_dir() else None
    if last is not None:
        _check_record(Path(last), record)
    model = AutoModelForImageTextToText.from_pretrained(
        last or start.model, dtype=torch.float32, local_files_only=True
    )
    model.config._name_or_path = str(start.model)  # noqa: SLF001 - where TRL loads the reference from
    freeze_vision(model)
    # GRPOTrainer joins a batch's prompts to their completions, and pads them on the left itself.
    return model, AutoProcessor.from_pretrained(start.model, local_files_only=True, padding_side="left")


def _common(start: RobustStart, profile: ChainSftProfile | ChainGrpoProfile) -> dict[str, Any]:
    own: TrainerSettings = profile.optimiser
    return {
        "output_dir": str(start.folder),
        "learning_rate": own.learning_rate,
        "per_device_train_batch_size": own.batch,
        "gradient_accumulation_steps": own.accumulation,
        "max_steps": own.steps or -1,
        "num_train_epochs": own.epochs,
        "warmup_steps": own.warmup_steps,
        "lr_scheduler_type": own.schedule,
        "max_grad_norm": own.clip_norm,
        "bf16": profile.autocast == "bf16",
        "gradient_checkpointing": profile.layer_checkpointing,
        "seed": profile.seed,
        "save_strategy": "steps" if start.save_every else "no",
        "save_steps": start.save_every or 1,
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
    }


def _record(kind: str, start: RobustStart, profile: ChainSftProfile | ChainGrpoProfile) -> dict[str, Any]:
    return {
        "format": 1,
        "kind": kind,
        "profile": asdict(profile),
        "origin": dict(start.origin),
        "code_version": __version__,
    }


def _run(trainer: Any, start: RobustStart, record: dict[str, Any]) -> Path:
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_Records(record, start))
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(make_folder(start.folder))))
    return start.folder / f"checkpoint-{trainer.state.global_step}"


def _check_record(path: Path, record: Mapping[str, Any]) -> None:
    try:
        found = parse_json((path / RECORD_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        found = {}
    expected = json.loads(json.dumps(record))
    other = sorted(key for key in expected if key != "code_version" and found.get(key) != expected[key])
    if other:
        raise UsageError(
            f"The checkpoint {path} is of another training: {', '.join(other)} "
            f"{'differs' if len(other) == 1 else 'differ'}.",
            hint="Resume with the same settings and data, or name another folder.",
        )


class _Records(TrainerCallback):  # type: ignore[misc]
    """Saves after the last step too, writes the record of each checkpoint, and passes numbers on."""

    def __init__(self, record: Mapping[str, Any], start: RobustStart) -> None:
        self._record, self._start = record, start

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002 - given by name
        if state.global_step >= state.max_steps:
            control.should_save = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - as above
        if state.is_world_process_zero:
            done = {"step": state.global_step, "steps": state.max_steps}
            path = self._start.folder / f"checkpoint-{state.global_step}" / RECORD_FILE
            write_atomic(path, json.dumps({**self._record, **done}, indent=1))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        if (
            self._start.watch is not None
            and logs
            and state.is_world_process_zero
            and "train_runtime" not in logs
        ):
            numbers = {name: float(v) for name, v in logs.items() if isinstance(v, (int, float))}
            self._start.watch(state.global_step, state.max_steps, numbers)
