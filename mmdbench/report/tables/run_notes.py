"""Notes on a run, the one list that every rendering of its numbers shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmdbench.benches.catalog import unlike_published
from mmdbench.corruptions.lost_answers import excluded_text
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.models.names import is_one_model
from mmdbench.records import CLEAN, LEVELS, UNALTERED, Index
from mmdbench.report.tables.reading_notes import reading_notes
from mmdbench.report.tables.repeats import repeat_note
from mmdbench.report.tables.table import MARK
from mmdbench.results.freshness import asked_note
from mmdbench.results.graded_run import RunResults
from mmdbench.results.judging.asked import asked_judges
from mmdbench.results.served import judge_served, served_notes
from mmdbench.run.file_records import has_unchecked
from mmdbench.run.served_models import names_text
from mmdbench.variants.released import KNOWN_SHA256

__all__ = ["notes_beside_published", "notes_of_runs", "run_notes", "unpublished_files"]

_RULES = {"CLEAR": "clear/1", "R-Bench": "rbench/official"}
"""The protocol that has the rules of a paper's scores."""

_COUNT = re.compile(r"(?<=\s)(\d+)(?=\s)")
"""A number in a sentence."""
_MOST_PLACES = 4

_SHARE_OFF = 0.03
"""Difference from an equal share that is worth a note: 3 of 100 rows."""


def run_notes(results: RunResults) -> tuple[str, ...]:
    """Notes that limit a run's numbers: on missing answers, questions, judge, inputs and grading."""
    notes = []
    pictures = results.without_picture
    if not results.complete:
        again = "" if pictures == results.unanswered else " Run the same command again."
        notes.append(
            f"INCOMPLETE: {results.unanswered} of {results.planned} planned answers are missing or failed; "
            f"they count as wrong, and drops marked {MARK} rest on them.{again}"
        )
    if pictures:
        notes.append(
            f"{pictures} of {results.planned} planned answers have no picture that can be read; "
            "they count as wrong, and their replies hold the reason."
        )
    if results.complete and not results.settled:
        notes.append(f"JUDGING INCOMPLETE: {results.problem} Drops marked {MARK} rest on it.")
    notes += [*_unchecked_notes(results), *_suspect_notes(results)]
    notes += [*served_notes(results), *_file_notes(results)]
    notes += [*_question_notes(results), *_judge_notes(results), *reading_notes(results)]
    notes += _input_notes(results.manifest)
    notes += [*_shares_note(results), excluded_text(results.manifest.get("excluded", {}))]
    notes += filter(None, [repeat_note(results)])
    no_ops = sum(arm.no_ops for arm in results.arms)
    if no_ops:
        what = "a corruption that finds nothing to change"
        which = "image equals its" if no_ops == 1 else "images equal their"
        notes.append(f"{no_ops} corrupted {which} clean image ({what}).")
    notes += _grading_notes(results)
    return tuple(filter(None, [*notes, asked_note(results)]))


def notes_of_runs(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """The notes of several runs by their names, each after the names of those that it is of.

    An equal note is written once; those of a run alone are written without its name.
    """
    found: dict[str, list[str]] = {}
    for name, own in notes.items():
        for note in own:
            found.setdefault(note, []).append(name)
    if len(notes) == 1:
        return list(found)
    every = "both runs" if len(notes) == 2 else f"all {len(notes)} runs"
    return [
        f"{every if len(names) == len(notes) else ', '.join(names)}: {note}" for note, names in found.items()
    ]


def _grading_notes(results: RunResults) -> list[str]:
    """The warnings on grades, each sentence once with its levels; numbers that differ are given by level."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for arm in results.arms:
        where = arm.level + (f" {arm.corruption}" if arm.corruption and results.apart else "")
        for stored in arm.score.warnings:
            warning = _titled(stored, arm.score.bench, results)
            head, *more = _COUNT.split(warning, maxsplit=1)
            number, rest = more or ("", "")
            found.setdefault((head, rest), []).append((where, number))
    return [_grading_note(words, places) for words, places in found.items()]


def _titled(warning: str, bench: str, results: RunResults) -> str:
    """A warning with the benchmark's name in tables in the place of its file's."""
    return re.sub(rf"(?<![\w-]){re.escape(bench)}(?![\w-])", lambda _: results.title(bench), warning)


def _grading_note(words: tuple[str, str], places: Sequence[tuple[str, str]]) -> str:
    numbers = dict.fromkeys(number for _, number in places)
    if len(numbers) == 1:
        named = list(dict.fromkeys(where for where, _ in places))
        more = f" and {len(named) - _MOST_PLACES} more" if len(named) > _MOST_PLACES else ""
        return f"{', '.join(named[:_MOST_PLACES])}{more} – {next(iter(numbers)).join(words)}"
    if len(places) > _MOST_PLACES:
        ordered = sorted(map(int, numbers))
        given = f"{ordered[0]} to {ordered[-1]} (in {len(places)} parts)"
    else:
        given = ", ".join(f"{number} ({where})" for where, number in places)
    return given.join(words)


def _unchecked_notes(results: RunResults) -> Iterator[str]:
    if results.folder and has_unchecked(results.manifest):
        yield (
            "An earlier version stored this run, or a part of it, without checks: "
            "damage to its files may go unnoticed."
        )


def _suspect_notes(results: RunResults) -> Iterator[str]:
    """Notes on replies that a server gave between the last good answer to the canary and a wrong one."""
    for span in (results.manifest.get("canary") or {}).get("suspects", ()):
        count = sum(span["since"] <= reply.asked <= span["until"] for reply in results.replies.values())
        if count:
            yield (
                f"SUSPECT: {count} replies were given after the last good answer to the canary "
                f"({span['since']}) and before the run was stopped, because {span['said']}."
            )


def _shares_note(results: RunResults) -> list[str]:
    """The realised shares of the corruption categories, where `mixed` missed equal weights by much."""
    if results.plan.design != "mixed" or results.plan.corruptions:
        return []
    spec = load_spec()
    levels = [level for level in results.plan.levels if level in LEVELS]
    drawn = Counter(
        spec.corruptions[cell.corruption].category
        for cell in results.cells
        if levels and cell.level == levels[0] and cell.corruption is not None and cell.repeat == 1
    )
    total, aim = drawn.total(), 1 / len(spec.categories)
    if not total or all(abs(drawn[name] / total - aim) <= _SHARE_OFF for name in spec.categories):
        return []
    shares = ", ".join(f"{name} {drawn[name] / total:.0%}" for name in spec.categories)
    note = (
        f"The design mixed drew {shares} of {total} rows: with so few, the categories do not weigh the same."
    )
    return [f"{note} Scores are not re-weighted; balanced:K draws each corruption equally often."]


def unpublished_files(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The benchmarks whose file is not the published one by rows or MD5, each with the difference."""
    found = {
        bench["name"]: unlike_published(bench["name"], bench.get("questions", 0), bench.get("md5", ""))
        for bench in manifest.get("benches", ())
    }
    return {name: difference for name, difference in found.items() if difference}


def _file_notes(results: RunResults) -> list[str]:
    found = {results.title(name): how for name, how in unpublished_files(results.manifest).items()}
    if len(found) > 1:
        named = "; ".join(f"{name}: {difference}" for name, difference in found.items())
        return [f"FILES that are not the published ones, nor their scores: {named}."]
    return [f"FILE of {name}: {how}; these are not scores of {name}." for name, how in found.items()]


def _question_notes(results: RunResults) -> list[str]:
    notes = []
    if results.plan.sample:
        sizes = {b["name"]: b.get("questions", 0) for b in results.manifest.get("benches", ())}
        asked: dict[str, set[Index]] = {}
        for cell in results.cells:
            asked.setdefault(cell.bench, set()).add(cell.index)
        counts = [
            f"{len(rows)} of {sizes.get(bench, '?')} rows of {results.title(bench)}"
            for bench, rows in asked.items()
        ]
        notes.append(f"SAMPLE {results.plan.sample}: {', '.join(counts) or 'a part of the rows'} were asked.")
    hits = results.columns
    asked_at = {level: hits.at(level).question.codes for level in (CLEAN, *hits.level.distinct)}
    if any(
        not np.isin(asked_at[CLEAN], here).all() for level, here in asked_at.items() if level != UNALTERED
    ):
        notes.append(
            "Levels hold other questions than clean: n, the clean score and the drop of a row are of the "
            "questions at its hardest level."
        )
    return notes


def _judge_notes(results: RunResults) -> list[str]:
    notes = [_judged_by(results)] if results.judge else []
    if results.unjudged:
        notes.append(
            f"INCOMPLETE JUDGING: {results.judge} was not asked about {', '.join(results.unjudged)}. "
            "Ask it: mmdbench score RUN --judge NAME."
        )
    notes += _settings_not_taken(results)
    others = [judge.name for judge in asked_judges(results.manifest) if judge.name != results.judge]
    if others:
        besides = "Other judges of this run" if results.judge else "No judge's rulings count here; asked were"
        notes.append(f"{besides}: {', '.join(others)} (report --judge NAME).")
    return notes


def _judged_by(results: RunResults) -> str:
    served = judge_served(results.manifest, results.judge.partition("#")[0])
    if not served:
        return f"Judged by {results.judge}."
    names = names_text(list(served), served)
    several = "" if is_one_model(served) else ": BY THEIR NAMES SEVERAL MODELS"
    return f"Judged by {results.judge}, served as {names}{several}."


def _settings_not_taken(results: RunResults) -> list[str]:
    """The note on settings of the protocol that the judge does not take; none if it takes them all."""
    records = [arm.score.judge_record for arm in results.arms]
    names = sorted({name for record in records for name in record.get("not_taken", ())})
    sent = {k: v for record in records for k, v in record.get("sent", {}).items()}
    if not names:
        return []
    instead = f"; sent was {', '.join(f'{k}={v}' for k, v in sent.items())}" if sent else ""
    return [f"The judge takes no {' and no '.join(names)}, which the protocol sets{instead}."]


def _input_notes(manifest: Mapping[str, Any]) -> list[str]:
    notes = [f"{b['name']}: {note}." for b in manifest.get("benches", ()) for note in b.get("notes", ())]
    restoration = manifest.get("restoration")
    if restoration:
        which = "every image, clean ones too," if restoration["clean"] else "degraded images, not clean ones,"
        notes.append(f"{restoration['fingerprint']['name']} restored {which} before the model saw them.")
    instruction = manifest.get("model", {}).get("fingerprint", {}).get("instruction")
    if instruction and not instruction["exact"]:
        notes.append(
            f"The instruction {instruction['id']} that the model was asked with is not in its authors' words."
        )
    if manifest.get("prompt_override"):
        notes.append(
            "The model's adapter changes the benchmark's prompts; "
            "each reply that was asked so holds its prompt in details.prompt."
        )
    notes += [
        f"{row['differ']} questions of {row['file']} have another text or answer than {row['bench']}; "
        "those of the clean benchmark were asked."
        for row in manifest.get("released", ())
        if row["differ"]
    ]
    notes += [
        f"{row['file']} is not the file that its authors published (its SHA-256 is {row['sha256']})."
        for row in manifest.get("released", ())
        if KNOWN_SHA256.get(Path(row["file"]).stem, row["sha256"]) != row["sha256"]
    ]
    return notes


def notes_beside_published(run: RunResults, papers: Collection[str]) -> list[str]:
    """Notes on differences between a run and published results: images, questions and rules.

    Args:
        run: The run.
        papers: The papers of the results: CLEAR, Robust-R1, R-Bench.

    Returns:
        The notes; none if no result is published.
    """
    notes = []
    if "CLEAR" in papers and run.plan.design != "released":
        notes.append(
            "the published scores of CLEAR are of the authors' released images, which the design "
            "`released` shows"
        )
    if "Robust-R1" in papers:
        notes.append("the published scores of Robust-R1 are of degraded pictures of its own")
    if papers and run.plan.sample:
        notes.append(f"the run asked a sample ({run.plan.sample}) of the questions")
    notes += [
        f"the published scores of {paper} are graded by the rules of {rules}, the run by {run.plan.protocol}"
        for paper, rules in _RULES.items()
        if paper in papers and run.plan.protocol != rules
    ]
    return notes
