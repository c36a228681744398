"""One HTML file from graded runs: text, styles, script, data and pictures put together."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from mmdbench._version import __version__
from mmdbench.corruptions.spec import Spec
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import UsageError
from mmdbench.records import ANSWER
from mmdbench.report.page import drawn, heat, sections
from mmdbench.report.page.curves import quality_curves
from mmdbench.report.page.data import Example, answer_record, choose, gather
from mmdbench.report.page.facts import Facts, tag
from mmdbench.report.page.images import Pictures, make_pictures
from mmdbench.report.page.names import Names
from mmdbench.report.tables.collect import Tables
from mmdbench.report.tables.model import ranks
from mmdbench.results.graded_run import RunResults
from mmdbench.system.bounds import require_at_least
from mmdbench.system.files import write_atomic

__all__ = ["PAGE_BYTES", "PageSummary", "page_html", "write_page"]

PAGE_BYTES = 29_000_000
"""The largest page, in bytes; pictures are made to fit."""

_LONGEST = (6000, 2000, 600)
_TEXT_BYTES = 8_000_000
_CHUNK = 64
_PLACE_BYTES = 40  # what a page says of where a cell's pictures are


@dataclass(frozen=True, slots=True)
class PageSummary:
    """What a page holds: `examples` of `found`, `pictures`, its size in bytes, and what is not in it."""

    path: Path
    size: int
    examples: int
    found: int
    pictures: int
    notes: tuple[str, ...]


def write_page(
    runs: Sequence[RunResults],
    tables: Tables,
    out: Path,
    *,
    data_dir: Path | None = None,
    examples: int = 2000,
    on_progress: Callable[[int, int], object] | None = None,
) -> PageSummary:
    """Write the page of graded runs; `tables` are those that `make_tables` made of the same runs.

    At most `examples` examples come with it, the worst of each benchmark and corruption first; the
    numbers are always those of all questions. Pictures are read from the benchmarks in `data_dir`
    and the usual places, never downloaded; a benchmark that is not there is said on the page.
    """
    require_at_least("examples", examples, 0)
    if any(run.plan.task != ANSWER for run in runs):
        raise UsageError("A page shows answers to questions.", hint="Print the tables: mmdbench report RUN")
    spec = load_spec()
    named = [_named(run, tables, i) for i, run in enumerate(runs)]
    all_examples = gather(named) if examples else []
    kept = choose(all_examples, examples)
    longest = _cut_to(kept)
    bare = page_html(named, tables, kept, Pictures(), spec=spec, longest=longest)
    room = PAGE_BYTES - len(_bytes(bare)) - _PLACE_BYTES * sum(len(e.cells) for e in kept)
    pictures = make_pictures(named, kept, spec, budget=room, data_dir=data_dir, on_progress=on_progress)
    notes = _notes(kept, len(all_examples), pictures)
    html = page_html(named, tables, kept, pictures, spec=spec, notes=notes, longest=longest)
    data = _bytes(html)
    write_atomic(out, data)
    return PageSummary(out, len(data), len(kept), len(all_examples), len(pictures.data), tuple(notes))


def page_html(
    runs: Sequence[RunResults],
    tables: Tables,
    examples: Sequence[Example],
    pictures: Pictures,
    *,
    spec: Spec,
    notes: Sequence[str] = (),
    longest: int = _LONGEST[0],
) -> str:
    """The page as text."""
    record = {**tables.as_dict(), "quality": [asdict(curve) for curve in quality_curves(runs)]}
    facts = Facts(record)
    labels = tuple(dict.fromkeys(row.run for row in tables.main))
    names = Names(tables.levels, labels, _benches(runs), len(runs))
    categories = {name: corruption.category for name, corruption in spec.corruptions.items()}
    script = _file("page.js")
    quality = drawn.quality(facts)
    viewer = {
        "levels": list(tables.levels),
        "runs": [run.name for run in runs],
        "benches": {name: run.title(name) for run in runs for name in run.benches},
        "families": categories,
        "examples": [_example_record(e, pictures, longest) for e in examples],
        "chunk": _CHUNK,
    }
    return Template(_file("page.html")).substitute(
        title=escape(f"{', '.join(names.runs)} – mmdbench"),
        heading=escape(", ".join(names.runs)),
        version=escape(__version__),
        hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        css=_file("page.css"),
        js=script,
        header="".join(tag("dt", key) + tag("dd", value) for key, value in tables.header.items()),
        alarm=_alarm(tables),
        summary=sections.summary(facts, names),
        drops=drawn.drops(facts, names),
        curves=drawn.curves(facts, names),
        heat=heat.heat_maps(facts, names, categories),
        quality=quality,
        no_quality="" if quality else "hidden",
        tables=sections.tables(facts, [ranks(table) for table in tables.tables]),
        notes="".join(tag("li", note) for note in tables.notes) or tag("li", "Nothing to remark."),
        viewer_notes="".join(tag("p", note) for note in notes),
        no_examples="" if examples else "hidden",
        facts=_json(record),
        examples=_json(viewer),
        pictures=_chunks(pictures.data),
    )


def _named(run: RunResults, tables: Tables, place: int) -> RunResults:
    return replace(run, label=tables.runs[place].label) if place < len(tables.runs) else run


def _benches(runs: Sequence[RunResults]) -> Mapping[str, str]:
    return {run.title(name): name for run in runs for name in run.benches}


def _alarm(tables: Tables) -> str:
    if tables.complete:
        return ""
    text = "Incomplete: some planned answers are missing or failed. They count as wrong; see the notes."
    return tag("p", text, class_="banner", role="alert")


def _cut_to(examples: Sequence[Example]) -> int:
    for longest in _LONGEST[:-1]:
        size = sum(len(json.dumps(_example_record(e, Pictures(), longest))) for e in examples)
        if size <= _TEXT_BYTES:
            return longest
    return _LONGEST[-1]


def _example_record(example: Example, pictures: Pictures, longest: int) -> dict[str, Any]:
    question = example.question
    record: dict[str, Any] = {
        "b": question.bench,
        "i": question.index,
        "c": example.corruption,
        "k": question.category,
        "q": (question.text or question.fields.get("prompt", ""))[:longest],
        "o": question.options,
        "a": question.answer,
        "g": list(example.rank),
        "s": {cell.level: _level_record(example, cell.level, pictures, longest) for cell in example.cells},
    }
    if question.fields.get("hint"):
        record["m"] = question.fields["hint"][:longest]
    for cell in example.cells:
        if cell in pictures.cells:
            record["s"][cell.level]["p"] = pictures.cells[cell]
    return record


def _level_record(example: Example, level: str, pictures: Pictures, longest: int) -> dict[str, Any]:
    answers: list[dict[str, Any] | None] = []
    for answer in example.answers[level]:
        record = answer_record(answer, longest)
        if record is not None and answer.reply is not None and answer.reply.key in pictures.kept:
            record["p"] = pictures.kept[answer.reply.key]
        answers.append(record)
    return {"a": answers}


def _notes(kept: Sequence[Example], found: int, pictures: Pictures) -> list[str]:
    notes = []
    if len(kept) < found:
        notes.append(
            f"{len(kept)} of {found} examples are here, by turns from every benchmark and corruption, "
            "the worst of each first. All numbers above are of all questions."
        )
    notes += [f"No pictures: {reason}" for reason in pictures.missing]
    if pictures.unlike:
        notes.append(
            f"{pictures.unlike} pictures were made again with other pixels than the run saw: "
            "another version of a library, or another copy of the benchmark."
        )
    if pictures.left_out:
        notes.append(f"The pictures of {pictures.left_out} cells were left out to keep the page small.")
    return notes


def _json(value: Any) -> str:
    # Inside a script element only "<" could end it or open a comment.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half.group()):04x}", text)


def _bytes(html: str) -> bytes:
    return html.encode("utf-8", "replace")  # half a surrogate pair, which UTF-8 cannot hold


def _chunks(pictures: Sequence[str]) -> str:
    parts = []
    for start in range(0, len(pictures), _CHUNK):
        lines = "\n".join(pictures[start : start + _CHUNK])
        parts.append(f'<script type="text/plain" id="pictures-{start // _CHUNK}">{lines}</script>\n')
    return "".join(parts)


def _file(name: str) -> str:
    return resources.files("mmdbench.report.page").joinpath(name).read_text("utf-8")
