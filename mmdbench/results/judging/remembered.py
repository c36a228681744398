"""A judge's rulings on a stored run: found again in its journal, and noted in its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.errors import StoreError
from mmdbench.results.judging.asked import (
    NO_JUDGE,
    AskedJudge,
    asked_judges,
    asked_prompts,
    default_judge,
    find_judge,
    heads_of,
    same_words,
)
from mmdbench.results.judging.journal import JsonlJournal, JudgeJournal, find_reply
from mmdbench.run.file_records import require_files
from mmdbench.run.folder import JUDGE_HEADS, JUDGE_JOURNAL
from mmdbench.run.manifest import read_manifest, save_manifest
from mmdbench.scoring import JudgeCall, JudgeHeads, JudgeReply, has_words, keep_heads, kept_heads, load_heads
from mmdbench.system.digest import value_digest
from mmdbench.system.files import MANIFEST_FILE
from mmdbench.system.inner_paths import inner_path

__all__ = ["RememberedJudge", "record_scoring", "remembered_judge"]

_SAME = ("id", "prompts", "rules")


@dataclass(frozen=True, slots=True)
class RememberedJudge:
    """A judge that answers from the journal of a run, and nothing else.

    `name` is its name among the judges of the run, `protocols` are those that it was asked under. `heads`
    are the words in which it was asked, None where they were not kept.
    """

    id: str
    name: str
    protocols: tuple[str, ...]
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
        name: A name as `find_judge` takes it; `none` for no judge, empty for the run's default.

    Returns:
        The judge; None for none.

    Raises:
        UnknownNameError: That judge was not asked about the run.
        UsageError: The name fits several judges.
    """
    if name == NO_JUDGE:
        return None
    manifest, journal = read_manifest(folder), JsonlJournal(folder / JUDGE_JOURNAL)
    chosen = default_judge(manifest, journal)
    if name:
        chosen = find_judge(name, asked_judges(manifest, journal), chosen)
    if chosen is None:
        return None
    path = inner_path(folder, chosen.heads, folder / MANIFEST_FILE)
    require_files(folder, manifest, JUDGE_JOURNAL, chosen.heads)
    heads = heads_of(folder, chosen)
    _require_prompts(path, manifest, chosen, heads or load_heads())
    return RememberedJudge(chosen.id, chosen.name, chosen.protocols, journal, heads)


def _require_prompts(path: Path, manifest: Mapping[str, Any], judge: AskedJudge, heads: JudgeHeads) -> None:
    """Raise StoreError if a judge was asked in other words than the heads, by their digests."""
    for prompt in asked_prompts(manifest, judge):
        if not has_words(heads, prompt["id"], prompt.get("sha256", "")):
            raise StoreError(
                f"{path} does not hold the prompt {prompt['id']} that {judge.name} was asked with.",
                hint="Take the file from a copy, or move it away and score again: "
                "mmdbench score RUN --judge NAME.",
            )


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
    written = (JUDGE_JOURNAL, made["heads"]) if record["id"] else ()
    save_manifest(folder, manifest, written)


def _keep(heads: JudgeHeads, folder: Path) -> str:
    first = kept_heads(folder / JUDGE_HEADS)
    name = JUDGE_HEADS
    if first is not None and not same_words(heads, first):
        texts = [(head.id, head.text) for head in (heads.mcq_en, heads.mcq_cn, heads.mmvet)]
        name = f"{Path(JUDGE_HEADS).stem}-{value_digest(texts)[:8]}.json"
    keep_heads(heads, folder / name)
    return name


def _same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return all(first.get(key) == second.get(key) for key in _SAME)


def _settled_nothing(record: Mapping[str, Any]) -> bool:
    return bool(record.get("judge_failed")) and not record.get("judged")
