"""The judges of a stored run: those that were asked, and the one that its reports show.

The manifest holds `judges`, a record for each scoring with a judge, and `judge`, the record of the
default. A default without an id stands for no judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.errors import MmdbenchError, UnknownNameError, UsageError
from mmdbench.models.cards import find_card
from mmdbench.results.judging.journal import JsonlJournal, JudgeJournal, find_reply
from mmdbench.results.judging.model_judge import judge_id
from mmdbench.run.folder import JUDGE_HEADS, JUDGE_JOURNAL
from mmdbench.run.manifest import read_manifest, save_manifest
from mmdbench.scoring import JudgeCall, JudgeHeads, JudgeReply, keep_heads, kept_heads
from mmdbench.system.digest import value_digest

__all__ = [
    "NO_JUDGE",
    "RememberedJudge",
    "asked_judges",
    "default_judge",
    "record_scoring",
    "remembered_judge",
]

NO_JUDGE = "none"
"""The name by which a report leaves the judges of a run out."""

_SAME = ("id", "prompts", "rules")


@dataclass(frozen=True, slots=True)
class RememberedJudge:
    """A judge that answers from the journal of a run, and nothing else.

    `heads` are the words in which it was asked, None where they were not kept.
    """

    id: str
    journal: JudgeJournal
    heads: JudgeHeads | None

    def ask(self, call: JudgeCall) -> JudgeReply:
        """The reply that the journal holds, or an error."""
        known = find_reply(self.journal, call.key(self.id))
        return known or JudgeReply(f"attempt {call.attempt} is not in the journal", "error")


def remembered_judge(folder: Path, name: str = "") -> RememberedJudge | None:
    """A judge that was asked about a run, with its replies from the journal.

    Args:
        folder: The run's folder.
        name: Its id, the model in its id, or the name by which it was asked; `none` for no judge, empty
            for the run's default.

    Returns:
        The judge; None for none.

    Raises:
        UnknownNameError: That judge was not asked about the run.
        UsageError: The name fits several judges.
    """
    if name == NO_JUDGE:
        return None
    path = folder / JUDGE_JOURNAL
    journal = JsonlJournal(path) if path.exists() else None
    manifest = read_manifest(folder)
    if name:
        known = asked_judges(manifest, journal)
        chosen = _find(name, known)
    else:
        chosen = default_judge(manifest, journal)
    if not chosen or journal is None:
        return None
    # The default comes last, because of two scorings by one judge it is the one to show.
    records = [*manifest.get("judges", ()), manifest.get("judge") or {}]
    heads = [str(r.get("heads", JUDGE_HEADS)) for r in records if r.get("id") == chosen] or [JUDGE_HEADS]
    return RememberedJudge(chosen, journal, kept_heads(folder / heads[-1]))


def asked_judges(manifest: Mapping[str, Any], journal: JsonlJournal | None = None) -> tuple[str, ...]:
    """Ids of all judges that scored a run, or that its journal holds calls of."""
    records = [*manifest.get("judges", ()), manifest.get("judge") or {}]
    named = [str(record["id"]) for record in records if record.get("id")]
    return tuple(dict.fromkeys([*named, *(journal.judges if journal else ())]))


def default_judge(manifest: Mapping[str, Any], journal: JsonlJournal | None = None) -> str:
    """The id of the judge that reports show unless they are told otherwise; empty for none."""
    record = manifest.get("judge")
    if record is not None:
        return str(record["id"])
    # A run whose manifest is older than its judge.
    return journal.judges[-1] if journal and journal.judges else ""


def record_scoring(
    folder: Path, record: Mapping[str, Any], heads: JudgeHeads | None, *, own_rules: bool, default: bool
) -> None:
    """Note a scoring with a judge in the manifest of its run.

    It becomes the default if the run has none yet, or one that settled nothing; a scoring by other rules
    than the run's own never does. Call it under the run's lock: a run in progress writes there as well.

    Args:
        folder: The run's folder.
        record: Id, prompts, rules and counts; an empty id stands for no judge.
        heads: The beginnings of the judge's prompts, which are kept in a file.
        own_rules: True if protocol and extraction are those of the run.
        default: Make it the default in place of any other.
    """
    manifest = read_manifest(folder)
    before = manifest.get("judge")
    if record["id"]:
        made = {**record, "heads": _keep(heads, folder) if heads else JUDGE_HEADS}
        known = list(manifest.get("judges") or ([before] if before and before.get("id") else []))
        manifest["judges"] = [*(r for r in known if not _same(r, made)), made]
    else:
        made = dict(record)
    open_place = before is None or _same(before, made) or _settled_nothing(before)
    if default or (own_rules and open_place):
        manifest["judge"] = made
    save_manifest(folder, manifest)


def _keep(heads: JudgeHeads, folder: Path) -> str:
    first = kept_heads(folder / JUDGE_HEADS)
    texts = [(head.id, head.text) for head in (heads.mcq_en, heads.mcq_cn, heads.mmvet)]
    if first is None or texts == [(head.id, head.text) for head in (first.mcq_en, first.mcq_cn, first.mmvet)]:
        name = JUDGE_HEADS
    else:
        name = f"{Path(JUDGE_HEADS).stem}-{value_digest(texts)[:8]}.json"
    keep_heads(heads, folder / name)
    return name


def _same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return all(first.get(key) == second.get(key) for key in _SAME)


def _settled_nothing(record: Mapping[str, Any]) -> bool:
    return bool(record.get("judge_failed")) and not record.get("judged")


def _find(name: str, known: tuple[str, ...]) -> str:
    fits = [judge for judge in known if name == judge] or [
        judge for judge in known if name == judge.rpartition("@")[0] or judge == _id_of(name)
    ]
    if len(fits) > 1:
        raise UsageError(f"--judge {name} fits {', '.join(fits)}.", hint="Write one of them in full.")
    if not fits:
        raise UnknownNameError("judge of this run", name, [*known, NO_JUDGE])
    return fits[0]


def _id_of(name: str) -> str:
    try:
        return judge_id(find_card(name))
    except MmdbenchError:
        return ""
