"""Judges by name: named, described by a card and opened like a model under test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mmdbench.errors import UsageError
from mmdbench.models.cards import check_price, find_card, with_list_price
from mmdbench.models.registry import is_async, open_model
from mmdbench.results.graded_arms import Judging
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.results.judging.model_judge import ModelJudge
from mmdbench.run.budget import INTERRUPTED, Budget, stopped_by_signals
from mmdbench.run.folder import JUDGE_JOURNAL
from mmdbench.run.manifest import read_manifest, save_manifest
from mmdbench.scoring import load_heads

__all__ = ["JudgeOptions", "open_judge", "open_judging"]


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """A judge by name, the files of its prompts and model cards, and the most that its calls may cost.

    `system` is the system prompt of a model that is asked for more than grades. With `allow_model_change` a
    judge is asked on whose server answers as another model than before. `on_progress` gets the number
    of answered calls, and of all. `on_usage` gets the calls, tokens and
    cost at the end, if there were any calls. `on_note` gets a sentence for each note on the judge's card.
    """

    name: str
    heads: Path | None = None
    cards: Sequence[Path] = ()
    max_usd: float | None = None
    on_progress: Callable[[int, int], None] = lambda _done, _total: None
    on_usage: Callable[[Mapping[str, Any]], None] = lambda _usage: None
    max_requests: int | None = None
    system: str = ""
    allow_model_change: bool = False
    on_note: Callable[[str], None] = lambda _note: None


@contextmanager
def open_judging(
    options: JudgeOptions | None, journal: Path, run: Path | None = None
) -> Iterator[Judging | None]:
    """Open a judge, and close it on exit; Ctrl-C, SIGTERM and SIGHUP keep the replies that it has given.

    Args:
        options: The judge; None for none.
        journal: File that keeps its calls.
        run: Folder of the run whose manifest records the cost. Hold its lock meanwhile.

    Yields:
        The judge with its prompts and journal; None for none.

    Raises:
        ModelError: The server answered as several models, in the journal or now.
        KeyboardInterrupt: A signal stopped the judge, also if everything was answered before.
    """
    if options is None:
        yield None
        return
    budget = Budget(options.max_usd, None, options.max_requests)
    judge = open_judge(
        options.name,
        options.cards,
        budget,
        system=options.system,
        allow_model_change=options.allow_model_change,
    )
    for note in judge.card.notes:
        options.on_note(note)
    try:
        with stopped_by_signals(judge.spending):
            heads = load_heads(options.heads)
            kept = JsonlJournal(journal)
            judge.served.earlier = kept.served(judge.id)
            judge.require_one_model()
            yield Judging(judge, heads, kept, on_progress=options.on_progress)
        judge.require_one_model()
        if judge.spending.reason == INTERRUPTED:
            raise KeyboardInterrupt
    finally:
        judge.close()
        usage = judge.usage()
        if usage["requests_sent"]:
            options.on_usage(usage)
            if run is not None:
                _record_usage(run, usage)


def open_judge(
    name: str,
    files: Sequence[Path] = (),
    budget: Budget | None = None,
    *,
    system: str = "",
    allow_model_change: bool = False,
) -> ModelJudge:
    """Open a judge; nothing is sent and no key is read before its first call.

    Args:
        name: A model card such as `gpt-4.1`, or `openai:<model>` or `openai:<model>@<base-url>`. A base URL
            gets the key in MMDBENCH_API_KEY, never the key of the card's own endpoint.
        files: Files with model cards of the user's own.
        budget: The most that its calls may cost; None for no limit.
        system: The system prompt of all its calls. It is no part of their keys: name it in `prompt_id`.
        allow_model_change: Continue where the server answers as another model than before.

    Returns:
        The judge; close it after use.

    Raises:
        UnknownNameError: There is no such card.
        UsageError: The card describes no model that can judge.
    """
    card = with_list_price(find_card(name, files))
    if not urlsplit(card.endpoint).hostname:
        raise _not_behind_api(card.name)
    if not card.model or card.model == "auto":
        raise UsageError(
            f"The judge {card.name!r} needs the name of a model.", hint=f"Write {card.name}:<model>."
        )
    budget = budget or Budget()
    check_price(card, budget.usd)
    # The card's system prompt is no part of a protocol, and no part of a journal's keys.
    options = {key: value for key, value in card.options.items() if key != "system"}
    options |= {"system": system} if system else {}
    model = open_model(replace(card, options=options))
    if not is_async(model):
        raise _not_behind_api(card.name)
    return ModelJudge(card, model, budget, allow_model_change=allow_model_change)


def _not_behind_api(name: str) -> UsageError:
    return UsageError(
        f"{name!r} cannot judge: it is not behind an API.",
        hint="Name a judge like gpt-4.1, or openai:<model>@<base-url>.",
    )


def _record_usage(folder: Path, usage: Mapping[str, Any]) -> None:
    """Add the calls, tokens and cost of one command to `judge_sessions` in a run's manifest.

    Call it under the run's lock: a run in progress writes there as well.
    """
    manifest = read_manifest(folder)
    manifest.setdefault("judge_sessions", []).append(dict(usage))
    save_manifest(folder, manifest, (JUDGE_JOURNAL,))
