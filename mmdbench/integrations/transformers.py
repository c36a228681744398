"""The drop of a model that transformers' `Trainer` trains.

::

    import mmdbench
    from mmdbench.integrations.transformers import DropCallback

    monitor = mmdbench.DropMonitor(answer, "mini", out="runs/training", log_to="wandb")
    trainer = Trainer(model, …, callbacks=[DropCallback(monitor, every=500)])
"""

from __future__ import annotations

from typing import Any

from mmdbench.errors import MissingExtraError
from mmdbench.integrations.measurements import Measure, Measurements, refuse_sharded

try:
    from transformers import TrainerCallback
except ImportError as missing:
    raise MissingExtraError("transformers", "hf") from missing

__all__ = ["DropCallback"]


class DropCallback(TrainerCallback):
    """Calls a measurement before the first step, every so many optimizer steps, and after the last one.

    Only the first process measures. The model is in evaluation mode without gradients meanwhile; its modes
    and the random states are as before afterwards, so that the losses are those of a training without it.

    Args:
        measure: A `mmdbench.DropMonitor`, or another function of the step with `close()`.
        every: Number of optimizer steps between two measurements.
        at_start: Measure before the first step too.
    """

    def __init__(self, measure: Measure, every: int, *, at_start: bool = True) -> None:
        self._measurements = Measurements(measure, every, at_start=at_start)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Measure before the first step.

        Args:
            args: The `TrainingArguments`.
            state: The `TrainerState`, which counts the steps.
            control: Not used.
            **kwargs: The `model` in training, and others.
        """
        if args.world_size > 1 and (args.fsdp or args.deepspeed):
            refuse_sharded("FSDP" if args.fsdp else "DeepSpeed")
        if state.is_world_process_zero:
            self._measurements.start(kwargs["model"], state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Measure if it is due, or the training ends: trackers end their runs before `on_train_end`.

        Args:
            args: Not used.
            state: The `TrainerState`, which counts the steps.
            control: The `TrainerControl`, which ends the training.
            **kwargs: The `model` in training, and others.
        """
        if state.is_world_process_zero:
            is_last = control.should_training_stop
            self._measurements.after_step(kwargs["model"], state.global_step, is_last=is_last)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """End the measurement.

        Args:
            args: Not used.
            state: Not used.
            control: Not used.
            **kwargs: Not used.
        """
        self._measurements.close()
