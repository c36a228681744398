"""Check, before a run is paid for, that it can go through a batch endpoint."""

from __future__ import annotations

import asyncio

from mmdbench.errors import ModelError, UsageError
from mmdbench.models.batches import BatchService
from mmdbench.models.failures import AttemptError
from mmdbench.run.batch_journal import BatchJournal
from mmdbench.run.generations import next_generation
from mmdbench.run.inputs import RunInputs
from mmdbench.run.manifest import find_manifest

__all__ = ["batch_service", "check_batches"]


def check_batches(inputs: RunInputs) -> None:
    """Check, before anything is paid, that a run and its folder agree on batches.

    Raises UsageError if the model cannot be asked in batches, a live run would ask what is in an open one, or
    an open one belongs to an earlier generation of replies; ModelError if the server has no batch endpoint.
    """
    name, waiting = inputs.card.name, BatchJournal(inputs.folder).open
    if inputs.settings.batch is None:
        if waiting:
            number = sum(batch.requests for batch in waiting)
            raise UsageError(
                f"{number} requests of {inputs.folder} are in {len(waiting)} batches that are not collected.",
                hint="Collect them: the same command with --batch. To give them up, remove "
                f"{BatchJournal(inputs.folder).path}.",
            )
        return
    generation = next_generation(find_manifest(inputs.folder), inputs.settings)
    if any(batch.generation != generation.number for batch in waiting):
        raise UsageError(
            "--fresh and --max-age begin anew, and the run has batches that are not collected yet.",
            hint="Collect them first: the same command without --fresh and --max-age.",
        )
    service = batch_service(inputs)

    async def check() -> None:
        try:
            await service.check()
        finally:
            await service.aclose()

    try:
        asyncio.run(check())
    except AttemptError as error:
        if error.kind in ("not_found", "bad_request"):
            raise ModelError(
                f"The server of {name!r} has no batch endpoint in OpenAI's style: {error.reason}.",
                hint="Leave out --batch.",
            ) from None
        raise ModelError(f"The batch endpoint of {name!r} cannot be used: {error.reason}.") from None


def batch_service(inputs: RunInputs) -> BatchService:
    """The batch endpoint of a run's model. Raises UsageError if it has none, ModelError without its key."""
    made = getattr(inputs.model, "batches", None)
    if made is None:
        raise UsageError(
            f"--batch is for models behind an OpenAI-style API, asked by one process; {inputs.card.name!r} "
            f"(adapter {inputs.card.adapter}) is not.",
            hint="Leave out --batch.",
        )
    service: BatchService = made()
    return service
