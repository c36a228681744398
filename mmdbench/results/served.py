"""The models that a run's replies are of, by the names that the server gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mmdbench.models.names import is_one_model
from mmdbench.results.graded_run import RunResults
from mmdbench.run.served_models import asked_model, names_text

__all__ = ["judge_served", "served_models", "served_notes"]


def served_models(run: RunResults) -> dict[str, dict[str, int]]:
    """Numbers of replies by served name (`models`) and by `system_fingerprints`; empty if none is known."""
    found: dict[str, dict[str, int]] = {}
    for name, detail in (("models", "model"), ("system_fingerprints", "system_fingerprint")):
        counts = Counter(str(r.details[detail]) for r in run.detailed.values() if r.details.get(detail))
        if counts:
            found[name] = dict(sorted(counts.items()))
    return found


def served_notes(run: RunResults) -> Iterator[str]:
    """Notes on the models that answered: several of them, another than was asked, and their names."""
    found, asked = served_models(run), asked_model(run.manifest)
    models, prints = found.get("models", {}), found.get("system_fingerprints", {})
    if not models:
        return
    names = names_text(list(models), models)
    if not is_one_model(models):
        yield f"SEVERAL MODELS: the server answered as {names}, by their names not one; the numbers mix them."
    elif asked and not is_one_model([asked, *models]):
        yield f"Asked for {asked}, served as {names}: by its name another model."
    else:
        yield f"Served as {names}."
    if prints:
        yield f"System fingerprints of the server: {names_text(list(prints), prints)}."


def judge_served(manifest: Mapping[str, Any], judge: str) -> dict[str, int]:
    """Numbers of calls by the name that the server gave to a judge; `judge` is its id."""
    counts: Counter[str] = Counter()
    for session in manifest.get("judge_sessions", ()):
        if session.get("judge") == judge:
            counts.update(session.get("served", {}).get("models", {}))
    return dict(sorted(counts.items()))
