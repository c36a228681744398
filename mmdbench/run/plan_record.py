"""The plan and the manifest in a run's folder, as one call of `run_plan` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmdbench.run.folder import BATCH_JOURNAL, PLAN_FILES
from mmdbench.run.generations import Generation
from mmdbench.run.inputs import RunInputs
from mmdbench.run.manifest import picture_record, run_manifest, same_run, save_manifest
from mmdbench.run.plan import Planned, write_plan
from mmdbench.system.files import REPLY_FILES

__all__ = ["PlanRecord"]


class PlanRecord:
    """Writer of the plan and the manifest of one call of `run_plan` into the run's folder.

    If the folder holds another plan, it is replaced when the first reply arrives. A call without a reply,
    for example because the server is down, leaves the earlier plan as it was.

    Args:
        inputs: The inputs of the run.
        planned: Every request of its plan.
        earlier: The manifest that the folder held, None for a new one.
        generation: The generation of the replies to come.

    Attributes:
        is_closed: True if the manifest holds the call's session.
    """

    def __init__(
        self,
        inputs: RunInputs,
        planned: Sequence[Planned],
        earlier: Mapping[str, Any] | None,
        generation: Generation,
    ) -> None:
        self._inputs, self._planned, self._earlier = inputs, planned, earlier
        self._generation = generation
        self.manifest: dict[str, Any] = {}
        self._written = self.is_closed = False
        self._make_manifest()

    def _make_manifest(self) -> None:
        kept = {key: value for key, value in self.manifest.items() if key == "canary"}
        reworded = any(p.reworded for p in self._planned)
        made = run_manifest(self._inputs, self._earlier) | picture_record(self._inputs, reworded=reworded)
        self.manifest.update(made | kept)
        if self._generation.number:
            self.manifest["generation"] = self._generation.as_dict()
        if self._earlier is None or same_run(self._earlier, self.manifest):
            self.write()

    def replan(self, planned: Sequence[Planned]) -> None:
        """Take another plan, of the same requests under other keys; its manifest is in the same dict."""
        if self._written:
            self._earlier = dict(self.manifest)
        self._planned, self._written = planned, False
        self._make_manifest()

    def write(self) -> None:
        """Write plan and manifest, once."""
        if not self._written:
            write_plan(self._inputs.folder, self._planned, self._inputs.benches)
            written = (*PLAN_FILES, REPLY_FILES, BATCH_JOURNAL)
            self.manifest |= save_manifest(self._inputs.folder, self.manifest, written)
            self._written = True

    def close(self, session: Mapping[str, Any], *, finished: bool) -> None:
        """Write the manifest with the session that ends, and with its generation if that is finished."""
        sessions = [*self.manifest["sessions"], session]
        kept = self.manifest if self._written else dict(self._earlier or {})
        if self._generation.number and self._written:
            finished = finished or self._generation.finished
            kept["generation"] = replace(self._generation, finished=finished).as_dict()
        made = {**kept, "sessions": sessions}
        save_manifest(self._inputs.folder, made, (REPLY_FILES, BATCH_JOURNAL))
        self.is_closed = True
