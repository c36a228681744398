"""Judges of a stored run by name: the model that was asked, and the wording of its prompts.

The run's manifest holds `judges`, a record for each scoring with a judge, and `judge`, the record of the
default. A default without an id stands for no judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.errors import MmdbenchError, UnknownNameError, UsageError
from mmdbench.models.card_secrets import refuse_secrets_of_name
from mmdbench.models.cards import ModelCard, find_card
from mmdbench.models.endpoints import host_label, server_of
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.run.folder import JUDGE_HEADS
from mmdbench.run.manifest import read_manifest
from mmdbench.scoring import JudgeHeads, kept_heads
from mmdbench.system.digest import bytes_digest
from mmdbench.system.files import MANIFEST_FILE
from mmdbench.system.inner_paths import inner_path
from mmdbench.system.secrets import hide_in_addresses

__all__ = [
    "NO_JUDGE",
    "AskedJudge",
    "asked_judges",
    "asked_prompts",
    "default_judge",
    "find_judge",
    "heads_of",
    "judge_id",
    "name_in_run",
    "same_words",
]

NO_JUDGE = "none"
"""The name by which a report leaves the judges of a run out."""

_WORDING = "#"


def judge_id(card: ModelCard) -> str:
    """`<model>@<server>`: a public host, the label `served_by`, or a digest of a private address.

    Of a checkpoint's path it holds name and digest.
    """
    model = card.model
    if Path(model).is_absolute():
        model = f"{Path(model).name}-{bytes_digest(model.encode())[:8]}"
    return f"{model}@{host_label(server_of(card))}"


@dataclass(frozen=True, slots=True)
class AskedJudge:
    """A judge of a run, in one wording of its prompts.

    `name` is the id, followed by `#` and the ids of the prompts if it was asked in several wordings. `heads`
    is the file with the beginnings of the prompts. `prompts` and `protocols` are those of its scorings,
    empty if only its calls are known.
    """

    name: str
    id: str
    heads: str
    prompts: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()


def asked_judges(manifest: Mapping[str, Any], journal: JsonlJournal | None = None) -> tuple[AskedJudge, ...]:
    """All judges that scored a run, or that its journal holds calls of, once for each wording."""
    found: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for record in _records(manifest):
        prompts, protocols = found.setdefault((str(record["id"]), _heads(record)), ({}, {}))
        prompts.update(dict.fromkeys(sorted(prompt["id"] for prompt in record.get("prompts", ()))))
        protocols.update(dict.fromkeys([record.get("rules", {}).get("protocol", "")]))
    known = {judge for judge, _ in found}
    for judge in journal.judges if journal else ():
        if judge not in known:
            found[judge, JUDGE_HEADS] = ({}, {})
    ids = [judge for judge, _ in found]
    labels = [(judge, "+".join(sorted(prompts))) for (judge, _), (prompts, _) in found.items()]
    made = []
    for ((judge, heads), (prompts, protocols)), label in zip(found.items(), labels, strict=True):
        wording = label[1] if labels.count(label) == 1 else f"{label[1]}~{Path(heads).stem}"
        name = judge if ids.count(judge) == 1 else f"{judge}{_WORDING}{wording}"
        made.append(AskedJudge(name, judge, heads, tuple(sorted(prompts)), tuple(filter(None, protocols))))
    return tuple(made)


def asked_prompts(manifest: Mapping[str, Any], judge: AskedJudge) -> Iterator[Mapping[str, Any]]:
    """The id and the digest of each prompt in a judge's scorings of a run."""
    for record in _records(manifest):
        if (record["id"], _heads(record)) == (judge.id, judge.heads):
            yield from record.get("prompts", ())


def default_judge(manifest: Mapping[str, Any], journal: JsonlJournal | None = None) -> AskedJudge | None:
    """The judge that reports show unless they are told otherwise; None for none."""
    known, record = asked_judges(manifest, journal), manifest.get("judge")
    if record is not None:
        wanted = record["id"], _heads(record)
        return next((judge for judge in known if (judge.id, judge.heads) == wanted), None)
    # A run whose manifest is older than its judge.
    latest = journal.judges[-1] if journal and journal.judges else ""
    return next((judge for judge in reversed(known) if judge.id == latest), None)


def find_judge(name: str, known: Sequence[AskedJudge], default: AskedJudge | None = None) -> AskedJudge:
    """A judge of a run by name.

    Args:
        name: Its name, its id, the model in its id, or the name by which it was asked; with `#` and the id of
            a prompt for one of several wordings.
        known: The judges of the run.
        default: The one that a name of several wordings stands for.

    Returns:
        The judge.

    Raises:
        UnknownNameError: That judge was not asked about the run.
        UsageError: The name fits several judges.
    """
    refuse_secrets_of_name(name, "--judge")
    model, _, wording = name.partition(_WORDING)
    fits = [judge for judge in known if name == judge.name] or list(_fitting(model, known))
    if wording:
        fits = [judge for judge in fits if name == judge.name or _is_asked_in(judge, wording)]
    if len(fits) > 1 and default in fits and len({judge.id for judge in fits}) == 1:
        return default
    if len(fits) > 1:
        names = ", ".join(judge.name for judge in fits)
        raise UsageError(f"--judge {name} fits {names}.", hint="Write one of them in full.")
    if not fits:
        shown = hide_in_addresses(f"://{name}").removeprefix(
            "://"
        )  # `user:KEY@host` looks like a judge's name
        raise UnknownNameError("judge of this run", shown, [*(judge.name for judge in known), NO_JUDGE])
    return fits[0]


def heads_of(folder: Path, judge: AskedJudge) -> JudgeHeads | None:
    """The kept beginnings of a judge's prompts; None if there are none. Raises StoreError."""
    return kept_heads(inner_path(folder, judge.heads, folder / MANIFEST_FILE))


def name_in_run(folder: Path, judge: str, heads: JudgeHeads | None) -> str:
    """The name of a judge among the judges of a run.

    Args:
        folder: The run's folder.
        judge: The id of the judge.
        heads: The beginnings of its prompts; None for any.

    Returns:
        The name; the id if it is none of them.
    """
    for asked in asked_judges(read_manifest(folder)):
        if asked.id == judge and (heads is None or same_words(heads, heads_of(folder, asked))):
            return asked.name
    return judge


def same_words(first: JudgeHeads, second: JudgeHeads | None) -> bool:
    """True if two sets of heads have the same ids and texts."""
    return second is not None and _texts(first) == _texts(second)


def _texts(heads: JudgeHeads) -> list[tuple[str, str]]:
    return [(head.id, head.text) for head in (heads.mcq_en, heads.mcq_cn, heads.mmvet)]


def _records(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for record in (*manifest.get("judges", ()), manifest.get("judge") or {}):
        if record.get("id"):
            yield record


def _heads(record: Mapping[str, Any]) -> str:
    return str(record.get("heads", JUDGE_HEADS))


def _fitting(name: str, known: Sequence[AskedJudge]) -> Iterator[AskedJudge]:
    exact = [judge for judge in known if name == judge.id]
    card = _id_of(name)
    yield from exact or (j for j in known if name == j.id.rpartition("@")[0] or j.id == card)


def _is_asked_in(judge: AskedJudge, wording: str) -> bool:
    return wording in (*judge.prompts, "+".join(judge.prompts))


def _id_of(name: str) -> str:
    try:
        return judge_id(find_card(name))
    except MmdbenchError:
        return ""
