"""The drop of a model that Lightning trains.

::

    import mmdbench
    from mmdbench.integrations.lightning import DropCallback

    monitor = mmdbench.DropMonitor(answer, "mini", out="runs/training", log_to=logger.log_metrics)
    trainer = Trainer(logger=logger, callbacks=[DropCallback(monitor, every=500)])
"""

from __future__ import annotations

from typing import Any

from mmdbench.errors import MissingExtraError
from mmdbench.integrations.measurements import Measure, Measurements, refuse_sharded

try:
    from lightning.pytorch import Callback
except ImportError:
    try:
        from pytorch_lightning import Callback
    except ImportError as missing:
        raise MissingExtraError("lightning", "lightning") from missing

__all__ = ["DropCallback"]

_SHARDED = ("FSDPStrategy", "DeepSpeedStrategy", "ModelParallelStrategy")


class DropCallback(Callback):
    """Calls a measurement before the first step, every so many optimizer steps, and after the last one.

    Only the first process measures. The module is in evaluation mode without gradients meanwhile; its modes
    and the random states are as before afterwards, so that the losses are those of a training without it.

    Args:
        measure: A `mmdbench.DropMonitor`, or another function of the step with `close()`.
        every: Number of optimizer steps (`trainer.global_step`) between two measurements.
        at_start: Measure before the first step too.
    """

    def __init__(self, measure: Measure, every: int, *, at_start: bool = True) -> None:
        self._measurements = Measurements(measure, every, at_start=at_start)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Measure before the first step."""
        strategies = [kind.__name__ for kind in type(trainer.strategy).__mro__]
        for strategy in _SHARDED:
            if trainer.world_size > 1 and strategy in strategies:
                refuse_sharded(strategy)
        if trainer.is_global_zero:
            self._measurements.start(pl_module, trainer.global_step)

    def on_train_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Measure if it is due.

        Args:
            trainer: The `Trainer`, which counts the steps.
            pl_module: The module in training.
            outputs: Not used.
            batch: Not used.
            batch_idx: Not used.
        """
        if trainer.is_global_zero:
            self._measurements.after_step(pl_module, trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure after the last step, and end the measurement."""
        if trainer.is_global_zero:
            self._measurements.after_step(pl_module, trainer.global_step, is_last=True)
        self._measurements.close()
