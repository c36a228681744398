"""The tables of runs and published results, side by side, in every form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.library.options import listed, local_path
from mmdbench.library.shown_tables import Origin, TableSet
from mmdbench.library.user_interface import UserInterface
from mmdbench.report.load import RunName, open_runs
from mmdbench.report.render.console import console
from mmdbench.report.render.csv_parquet import as_csv, write_parquet
from mmdbench.report.render.latex import latex
from mmdbench.report.render.markdown import markdown
from mmdbench.report.render.report_files import as_json, write_report
from mmdbench.report.tables.collect import Tables
from mmdbench.report.tables.run_notes import notes_of_runs
from mmdbench.results.freshness import freshness, freshness_line
from mmdbench.results.graded_run import RunResults

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mmdbench.report.page import PageSummary
    from mmdbench.results.pictures import SourceFolders

__all__ = ["EXAMPLES", "FORMS", "Report", "load_report", "run_by_rules", "source_folders"]

EXAMPLES = 2000
"""Most examples with pictures on a page, unless a number is given."""

FORMS = ("markdown", "latex", "csv", "json")
"""The texts that a report can be written as."""


class Report:
    """Graded runs and published results in tables; `tables["drops"]` is one of them.

    Notebooks show the tables that the command prints.

    Args:
        results: The graded runs, the reference first; none for published results alone.
        content: All tables with their head and notes, not yet in any form.
    """

    def __init__(self, results: Sequence[RunResults], content: Tables) -> None:
        self.results, self.content = tuple(results), content

    @property
    def tables(self) -> TableSet:
        """All tables by their keys."""
        header = self.content.header
        origin = Origin(header["protocol"], header["design"], self.content.notes)
        return TableSet(self.content.tables, origin)

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes that limit the numbers."""
        return self.content.notes

    def renderable(self, tables: str | Sequence[str] = ()) -> RenderableType:
        """The tables of the given keys, or the main ones, for rich to print."""
        return console(self.content, listed(tables))

    def ages(self) -> list[str]:
        """Lines on the ages of the replies, an equal one once for all its runs."""
        return notes_of_runs({run.name: [freshness_line(freshness(run))] for run in self.results})

    def text(
        self, form: str = "markdown", tables: str | Sequence[str] = (), *, intervals: bool = False
    ) -> str:
        """The report as a text.

        Args:
            form: `markdown`, `latex` (booktabs), `csv` (a line for each number) or `json`.
            tables: Keys of the tables; by default all but those of times, and `all` for all.
            intervals: Show intervals in LaTeX too.

        Returns:
            The text.
        """
        if form not in FORMS:
            raise UnknownNameError("form of a report", form, FORMS)
        if form == "latex":
            return latex(self.content, listed(tables), intervals=intervals)
        return {"markdown": markdown, "csv": as_csv, "json": as_json}[form](self.content, listed(tables))

    def parquet(self, path: str | Path, tables: str | Sequence[str] = ()) -> Path:
        """Write the numbers to a Parquet file, a record each. Raises MissingExtraError without pyarrow."""
        write_parquet(self.content, local_path(path, "path"), listed(tables))
        return Path(path)

    def page(
        self,
        out: str | Path | IO[bytes],
        *,
        examples: int = EXAMPLES,
        data_dir: str | Path | None = None,
        image_root: str | Path | None = None,
        interface: UserInterface | None = None,
    ) -> PageSummary:
        """Write one HTML page with tables, answers and pictures; it works offline.

        Args:
            out: File to write, by its path or opened.
            examples: Most examples with pictures.
            data_dir: Folder of benchmark files.
            image_root: Folder of the pictures that a TSV names, if it is not the TSV's own.
            interface: Shows the progress; nothing by default.

        Returns:
            The file with its numbers of examples and pictures, and notes on what it leaves out.
        """
        from mmdbench.report.page import write_page

        shows = interface or UserInterface(quiet=True)
        with shows.bar("Pictures", "questions") as bar:
            return write_page(
                list(self.results),
                self.content,
                local_path(out) if isinstance(out, (str, Path)) else out,
                folders=source_folders(data_dir, image_root),
                examples=examples,
                on_progress=bar.update,
            )

    def figures(self, folder: str | Path, formats: str | Sequence[str] = (), columns: int = 1) -> list[Path]:
        """Draw the figures of the report.

        Args:
            folder: Folder of the figures.
            formats: Some of `svg`, `pdf` and `png`; none for `svg` and `pdf`.
            columns: Number of a paper's columns that a figure spans: 1 (3.35 inches) or 2 (6.9 inches).

        Returns:
            The paths of the files.

        Raises:
            MissingExtraError: matplotlib is not installed.
            UsageError: Another format or another number of columns is asked for.
        """
        from mmdbench.report.render.figures import draw_figures

        return draw_figures(self.content, local_path(folder, "folder"), listed(formats), columns)

    def write(self, folder: str | Path) -> tuple[Path, ...]:
        """Write `report.md`, `tables.json`, `tables.csv`, `tables.tex` and `grades.jsonl` of one run."""
        return write_report(local_path(folder, "folder"), self.results[0], self.content)

    def __rich__(self) -> RenderableType:
        return self.renderable()

    def _repr_markdown_(self) -> str:
        return markdown(self.content)

    def __repr__(self) -> str:
        return f"<Report of {self.content.header['model']}: {', '.join(self.tables)}>"


def source_folders(data_dir: str | Path | None, image_root: str | Path | None) -> SourceFolders:
    """The folders of benchmark files and of the pictures that a TSV names; None for the usual ones."""
    from mmdbench.results.pictures import SourceFolders

    given = (None if folder is None else Path(folder) for folder in (data_dir, image_root))
    return SourceFolders(*given)


def load_report(*runs: Any, protocol: str = "", extraction: str = "", judge: str = "") -> Report:
    """The tables of runs and published results, side by side; no model is asked.

    Args:
        *runs: Runs, folders of runs, and names of published results such as `paper:clear-rl`; the first is
            the reference.
        protocol: Grading protocol; by default each run's own.
        extraction: Answer extraction; by default each run's own.
        judge: A judge that was asked about the runs, `none` for none; by default each run's own.

    Returns:
        The report.

    Raises:
        UsageError: No run is named.
        StoreError: A folder holds no run.
        IncomparableError: The runs differ in a setting that must be equal.
    """
    if not runs:
        raise UsageError(
            "A report needs at least one run, got none.", hint="Name a folder or paper:clear-rl."
        )
    rules = (protocol, extraction, judge)
    return Report(*open_runs([run_by_rules(run, *rules) for run in runs], *rules))


def run_by_rules(run: Any, *rules: str) -> RunName:
    """A `Run` as it was graded when it was loaded, unless other rules are named; else its folder or its name.

    Args:
        run: A run, its folder, or the name of a published result.
        *rules: Protocol, extraction and judge; empty for the run's own.

    Returns:
        The graded run, or the text that it is opened by.
    """
    if any(rules) or not hasattr(type(run), "results"):
        return str(getattr(run, "folder", run))
    graded: RunResults = run.results
    return graded
