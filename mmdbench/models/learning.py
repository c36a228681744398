"""Learning from refusals which settings a model takes; each is refused once, then no longer sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mmdbench.models.failures import AttemptError
from mmdbench.models.parameters import LIMITS, SAMPLING, Parameters
from mmdbench.records import Outcome
from mmdbench.system.environment import portable

__all__ = ["LearntParameters", "recall_learnt"]

_SAME_MODEL = ("adapter", "model", "endpoint")


class LearntParameters:
    """Settings that a model takes, as far as they are known.

    An adapter for servers sends its requests through `ask` and has this object as its attribute `learnt`; its
    fingerprint holds `record`.

    Args:
        known: The settings that the card names.
        generation: The card's generation settings.
    """

    def __init__(self, known: Parameters, generation: Mapping[str, Any]) -> None:
        self.known = known
        self._generation = generation
        self._accepted: set[tuple[str, str]] = set()
        self.is_open = any(known.may_learn(name) for name in (*LIMITS, *SAMPLING))
        """True until a first request has ended: others should wait for it."""

    def __repr__(self) -> str:
        return f"LearntParameters({self.known.refused})"

    @property
    def record(self) -> dict[str, Any]:
        """For the fingerprint: the names `refused` and the settings `sent`; empty if none was refused."""
        return self.known.record(self._generation)

    @property
    def note(self) -> str:
        """One line for the user; empty if no setting was refused."""
        return self.known.note(self._generation)

    def recall(self, record: Mapping[str, Any]) -> None:
        """Take over what was learnt earlier about the same model, from its `record`."""
        for name in record.get("refused", ()):
            if self.known.may_learn(name):
                self.known, self.is_open = self.known.without(name), False

    async def ask(
        self, generation: Mapping[str, Any], send: Callable[[dict[str, Any]], Awaitable[Outcome]]
    ) -> Outcome:
        """Send a request, without the settings that the model does not take.

        Args:
            generation: The settings of the request.
            send: Sends the request once, with the settings that it gets.

        Returns:
            The outcome.

        Raises:
            AttemptError: The request failed for another reason than a setting that can be left out.
        """
        while True:
            sent = self.known.sent(generation)
            try:
                outcome = await send(sent)
            except AttemptError as error:
                if not self._learn(error, sent):
                    self.is_open = False
                    raise
            else:
                self.is_open = False
                self._accepted.update((name, repr(value)) for name, value in sent.items())
                return outcome

    def _learn(self, error: AttemptError, sent: Mapping[str, Any]) -> bool:
        name = error.parameter
        # A server that refuses what it took before does so for another reason.
        if name not in sent or (name, repr(sent[name])) in self._accepted:
            return False
        if name in self.known.refused:  # another request has learnt it meanwhile
            return True
        if not self.known.may_learn(name):
            raise AttemptError("unsupported_setting", error.reason, parameter=name) from None
        self.known = self.known.without(name)
        return True


def recall_learnt(model: Any, manifest: Mapping[str, Any] | None) -> None:
    """Take over what a model learnt in an earlier session, from the manifest of its run.

    Args:
        model: The model; one without `learnt` is left as it is.
        manifest: The manifest of the run's folder; None if it is new.
    """
    record = ((manifest or {}).get("model") or {}).get("fingerprint") or {}
    if "refused" not in record or not hasattr(model, "learnt"):
        return
    own = portable(dict(model.fingerprint()))
    if all(own.get(name) == record.get(name) for name in _SAME_MODEL):
        model.learnt.recall(record)
