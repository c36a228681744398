"""The models that a server says it answered with, and the alarm when they change within a run.

Servers name the model of every reply. Vendors answer for a retired model with a newer one, and another
model may be started behind an address: such replies are of another model than the run's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmdbench.models.endpoints import SERVED_BY
from mmdbench.models.names import is_one_model

__all__ = ["LOCAL", "ServedModels", "asked_model", "moved_note", "names_text"]

LOCAL = "local"
"""The server in the fingerprint of runs of earlier versions, for every address on this machine."""

_NAMES_SHOWN = 6


@dataclass
class ServedModels:
    """Names of models and system fingerprints by which a server answered, with their numbers of replies.

    `asked` is the name by which the model is asked, empty if unknown; `earlier` are the names of replies that
    were stored before.
    """

    asked: str = ""
    earlier: Collection[str] = ()
    models: Counter[str] = field(default_factory=Counter)
    fingerprints: Counter[str] = field(default_factory=Counter)

    def see(self, details: Mapping[str, Any]) -> bool:
        """Count the name in a reply's details; True if no reply of this session had that name before."""
        if details.get("system_fingerprint"):
            self.fingerprints[str(details["system_fingerprint"])] += 1
        name = str(details.get("model") or "")
        if not name:
            return False
        self.models[name] += 1
        return self.models[name] == 1

    @property
    def names(self) -> list[str]:
        """All names, those of earlier replies first."""
        return list(dict.fromkeys([*sorted(self.earlier), *self.models]))

    @property
    def alarm(self) -> str:
        """The change of the model in one sentence; empty if all names can be of one model."""
        if is_one_model(self.names):
            return ""
        return f"the server answered as {names_text(self.names)}: by their names not one model"

    @property
    def news(self) -> str:
        """The difference between the asked and the served name; empty if they can be of one model."""
        if not self.asked or is_one_model([self.asked, *self.models]):
            return ""
        return f"asked for {self.asked}, the server answers as {names_text(list(self.models))}"

    def as_dict(self) -> dict[str, dict[str, int]]:
        """The counts as a JSON-able dict, without those that are empty."""
        counts = {"models": dict(self.models), "system_fingerprints": dict(self.fingerprints)}
        return {name: found for name, found in counts.items() if found}


def asked_model(manifest: Mapping[str, Any]) -> str:
    """The name by which a run's model is asked; empty if the server's only model was."""
    name = str((manifest.get("model") or {}).get("model") or "")
    return "" if name == "auto" else name


def moved_note(before: Mapping[str, Any] | None, manifest: Mapping[str, Any]) -> str:
    """The note on replies of an earlier version, which knew all servers of this machine as `local`.

    Args:
        before: The manifest that the run's folder held, None for a new folder.
        manifest: The manifest of the call.

    Returns:
        The note; empty if the server is known by the same address, or is on another machine.
    """
    old, new = (_server(m or {}) for m in (before, manifest))
    if old != LOCAL or new == LOCAL:
        return ""
    return (
        f"the folder holds replies of an earlier version, which knew all servers of this machine as {LOCAL}; "
        f"they are kept, and asked anew from {new}. If this server gave them: --set {SERVED_BY}={LOCAL}"
    )


def _server(manifest: Mapping[str, Any]) -> str:
    return str((manifest.get("model") or {}).get("fingerprint", {}).get("endpoint", ""))


def names_text(names: Collection[str], counts: Mapping[str, int] | None = None) -> str:
    """Names for a sentence, with their numbers of replies if these are given; a few of many."""
    shown = [f"{name} ({counts[name]})" if counts else name for name in list(names)[:_NAMES_SHOWN]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
