"""Writing a page: graded runs, their examples and pictures as one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from string import Template
from typing import IO, Any

from mmdbench._version import __version__
from mmdbench.corruptions.spec import Spec
from mmdbench.corruptions.spec_file import described_spec
from mmdbench.records import ANSWER
from mmdbench.report.page import charts, sections
from mmdbench.report.page.elements import PageLabels, page_file, script_hash
from mmdbench.report.page.embedded_pictures import EmbeddedPictures, make_pictures
from mmdbench.report.page.examples import Example, choose, gather
from mmdbench.report.page.examples_json import LONGEST, example_record, length_that_fits
from mmdbench.report.page.heat_maps import heat_maps
from mmdbench.report.page.numbers import PageNumbers, box, html_text, tag
from mmdbench.report.page.quality_curves import quality_curves
from mmdbench.report.tables.collect import Tables
from mmdbench.report.tables.table import ranks
from mmdbench.results.graded_run import RunResults
from mmdbench.results.pictures import USUAL_FOLDERS, SourceFolders
from mmdbench.system.bounds import require_at_least
from mmdbench.system.files import write_atomic
from mmdbench.system.printable import json_text, visible

__all__ = ["PAGE_BYTES", "PageContent", "PageSummary", "page_html", "write_page"]

PAGE_BYTES = 29_000_000
"""Size limit of a page, in bytes; its pictures are made small enough to fit."""

_CHUNK = 64  # pictures in one script element, which the page's script reads when it shows one of them
_PLACE_BYTES = 40  # the numbers of a cell's pictures in the page's JSON


@dataclass(frozen=True, slots=True)
class PageSummary:
    """Summary of a written page: its size in bytes and its numbers of examples and pictures.

    `path` is `-` for an opened file. `found` counts the examples that the runs have, `notes` name what the
    page leaves out.
    """

    path: Path
    size: int
    examples: int
    found: int
    pictures: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PageContent:
    """Content of a page: graded runs, their tables, and the chosen examples with their pictures.

    Texts of examples are cut to `longest` characters; `notes` are shown above the examples.
    """

    runs: Sequence[RunResults]
    tables: Tables
    examples: Sequence[Example]
    pictures: EmbeddedPictures = field(default_factory=EmbeddedPictures)
    notes: Sequence[str] = ()
    longest: int = LONGEST[0]


def write_page(
    runs: Sequence[RunResults],
    tables: Tables,
    out: Path | IO[bytes],
    *,
    folders: SourceFolders = USUAL_FOLDERS,
    examples: int = 2000,
    on_progress: Callable[[int, int], object] | None = None,
) -> PageSummary:
    """Write the page of graded runs.

    Args:
        runs: The runs, in the order of the tables.
        tables: The tables that `make_tables` made of the same runs.
        out: The HTML file to write, by its path or opened.
        folders: Folders of benchmark files; they are searched in the usual places too, and never
            downloaded. The page names the benchmarks that are missing.
        examples: Number of examples on the page at the most, the worst of each benchmark and
            corruption first. The numbers are always those of all questions.
        on_progress: Called with the number of questions whose pictures are made, and of all.

    Returns:
        The size of the page, and the number of its examples and pictures.

    Raises:
        UsageError: For a negative number of examples.
    """
    require_at_least("examples", examples, 0, whole=True)
    spec = described_spec(*(run.manifest for run in runs))
    named = [_named(run, tables, i) for i, run in enumerate(runs)]
    all_examples = gather(named) if examples else []
    kept = choose(all_examples, examples)
    content = PageContent(named, tables, kept, longest=length_that_fits(kept))
    # What the page weighs without pictures decides how large they may be.
    bare = _bytes(page_html(content, spec))
    room = PAGE_BYTES - len(bare) - _PLACE_BYTES * sum(len(e.cells) for e in kept)
    pictures = make_pictures(named, kept, spec, budget=room, folders=folders, on_progress=on_progress)
    notes = _notes(kept, len(all_examples), pictures)
    data = _bytes(page_html(replace(content, pictures=pictures, notes=notes), spec))
    if isinstance(out, Path):
        write_atomic(out, data)
    else:
        out.write(data)
    path = out if isinstance(out, Path) else Path("-")
    return PageSummary(path, len(data), len(kept), len(all_examples), len(pictures.data), tuple(notes))


def page_html(content: PageContent, spec: Spec) -> str:
    """The page as text; `spec` tells the category of each corruption."""
    tables = content.tables
    quality_record = [asdict(curve) for curve in quality_curves(content.runs)]
    numbers = PageNumbers({**asdict(tables), "quality": quality_record})
    runs = tuple(dict.fromkeys(row.run for row in tables.main))
    labels = PageLabels(tables.levels, runs, _benches(content.runs), len(content.runs))
    categories = {name: corruption.category for name, corruption in spec.corruptions.items()}
    script = page_file("theme.js") + page_file("page.js")
    quality = charts.quality(numbers)
    return Template(page_file("page.html")).substitute(
        title=html_text(f"{', '.join(labels.runs)} – mmdbench"),
        heading="".join(tag("span", run, title=run) for run in labels.runs),
        version=__version__,
        hash=script_hash(script),
        css=page_file("page.css"),
        js=script,
        header="".join(tag("dt", key) + tag("dd", value) for key, value in tables.header.items()),
        alarm=_alarm(tables),
        summary=sections.summary(numbers, labels),
        # A task's score on clean pictures is no base that drops start from.
        no_drops="hidden" if any(run.plan.task != ANSWER for run in content.runs) else "",
        drops=charts.drops(numbers, labels),
        curves=charts.curves(numbers, labels),
        heat=heat_maps(numbers, labels, categories),
        quality=quality,
        no_quality="" if quality else "hidden",
        tables=sections.tables(numbers, [ranks(table) for table in tables.tables]),
        notes="".join(tag("li", note) for note in tables.notes) or tag("li", "Nothing to remark."),
        viewer_notes="".join(tag("p", note) for note in content.notes),
        no_examples="" if content.examples else "hidden",
        facts=_json({**tables.as_dict(), "quality": quality_record}),
        examples=_json(_shown(_viewer(content, categories))),
        pictures=_chunks(content.pictures.data),
    )


def _viewer(content: PageContent, categories: Mapping[str, str]) -> dict[str, Any]:
    return {
        "levels": list(content.tables.levels),
        "runs": [run.name for run in content.runs],
        "benches": {name: run.title(name) for run in content.runs for name in run.benches},
        "families": categories,
        "examples": [example_record(e, content.pictures, content.longest) for e in content.examples],
        "chunk": _CHUNK,
    }


def _named(run: RunResults, tables: Tables, place: int) -> RunResults:
    return replace(run, label=tables.runs[place].label) if place < len(tables.runs) else run


def _benches(runs: Sequence[RunResults]) -> Mapping[str, str]:
    return {run.benchmark(name): name for run in runs for name in run.benches}


def _alarm(tables: Tables) -> str:
    if tables.complete:
        return ""
    notes = "".join(tag("p", note) for note in tables.notes_around()[0])
    return box("div", notes, class_="banner", role="alert")


def _notes(kept: Sequence[Example], found: int, pictures: EmbeddedPictures) -> list[str]:
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


def _shown(value: Any) -> Any:
    """A JSON-able value whose texts, keys included, show their control characters."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {_shown(key): _shown(inner) for key, inner in value.items()}
    return [_shown(inner) for inner in value] if isinstance(value, list | tuple) else value


def _json(value: Any) -> str:
    # Inside a script element only "<" could end it or open a comment.
    return json_text(value, separators=(",", ":")).replace("<", "\\u003c")


def _bytes(html: str) -> bytes:
    return html.encode("utf-8", "replace")  # UTF-8 cannot hold half a surrogate pair


def _chunks(pictures: Sequence[str]) -> str:
    parts = []
    for start in range(0, len(pictures), _CHUNK):
        lines = "\n".join(pictures[start : start + _CHUNK])
        parts.append(f'<script type="text/plain" id="pictures-{start // _CHUNK}">{lines}</script>\n')
    return "".join(parts)
