"""`mmdbench data`: list, download and check benchmark files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.completion import completes
from mmdbench.cli._shared.errors import guarded
from mmdbench.cli._shared.lazy_verbs import Group, VerbCommand
from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.terminal import Terminal

if TYPE_CHECKING:
    from mmdbench.library.data import DataFile, DataFiles, ReleasedState

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    name="data",
    help="List, download and check benchmark files.",
    no_args_is_help=True,
    add_completion=False,
)

Names = Annotated[
    list[str],
    typer.Argument(
        help="Benchmarks, a set such as mmd, or the authors' degraded files: released, released:MMStar, "
        "MMStar_LOW_LEVEL_HIGH."
    ),
]


@guarded
def list_files(
    data_dir: opts.LocalDataDir = None,
    released: Annotated[
        bool,
        typer.Option("--released", help="List the authors' degraded files, as their dataset has them now."),
    ] = False,
) -> None:
    """List all benchmarks and the state of their files."""
    from mmdbench.library.data import DATASET
    from mmdbench.library.data import list_data as list_all

    found = list_all(data_dir, released=released)
    _print(found)
    if not released:
        say(f"The authors' degraded files are in {DATASET}: mmdbench data list --released")


@guarded
def get(names: Names, data_dir: opts.LocalDataDir = None, yes: opts.Yes = False) -> None:
    """Download missing files; run the command again to resume; exit 4 if a file is not the published one."""
    from mmdbench.library.data import get_data

    found = get_data(names, data_dir, yes=yes, interface=Terminal())
    _print(found)
    _require_published(found)


@guarded
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Benchmarks; none for all.", autocompletion=completes("benches")),
    ] = None,
    data_dir: opts.LocalDataDir = None,
) -> None:
    """Compare checksums with those of the published files; exit 4 if one differs."""
    from mmdbench.library.data import verify_data

    found = verify_data(names or (), data_dir)
    _print(found)
    _require_published(found)


@guarded
def path(
    name: Annotated[str, typer.Argument(help="A benchmark.", autocompletion=completes("benches"))],
    data_dir: opts.LocalDataDir = None,
) -> None:
    """Print the path of a benchmark's file, or of a degraded one."""
    from mmdbench.benches.data_files import data_path
    from mmdbench.benches.fetch import find_file

    say(str(find_file(f"{name}.tsv", data_dir) or data_path(name, data_dir=data_dir)))


def _require_published(found: DataFiles) -> None:
    if not found.published:
        raise typer.Exit(4)


def _print(found: DataFiles) -> None:
    _print_benches(found.benches)
    _print_released(found.released)


def _print_released(files: Sequence[ReleasedState]) -> None:
    from rich.table import Table

    from mmdbench.library.downloads import size_text
    from mmdbench.library.screen import Screen, styled

    if not files:
        return
    table = Table(title="The authors' degraded files")
    for name in ("name", "state", "size", "checksum", "where"):
        table.add_column(name, no_wrap=name == "name", overflow="fold")
    for file in files:
        size = size_text(file.bytes) if file.bytes else ""
        cells = (file.name, file.state, size, file.checksum, str(file.path or ""))
        table.add_row(*(styled(cell) for cell in cells))
    Screen().print(table)
    for file in files:
        if file.checksum == "mismatch":
            say(f"{file.name}: not the published file (SHA-256 {file.sha256}). {file.note}".strip())


def _print_benches(files: tuple[DataFile, ...]) -> None:
    if not files:
        return
    from rich.table import Table

    from mmdbench.library.screen import Screen, styled

    table = Table()
    for name in ("name", "state", "size", "rows", "published", "checksum", "where"):
        table.add_column(name, no_wrap=name == "name", overflow="fold")
    for file in files:
        size = f"{file.bytes / 1e6:.1f} MB" if file.bytes else ""
        rows = (
            str(file.info.rows or "?")
            if file.checksum == "ok"
            else str(file.rows or "?")
            if file.path
            else ""
        )
        published = {"ok": "yes", "mismatch": "no"}.get(file.checksum, "?") if file.path else ""
        cells = (file.info.name, file.state, size, rows, published, file.checksum, str(file.path or ""))
        table.add_row(*(styled(cell) for cell in cells))
    Screen().print(table)
    for file in files:
        if file.checksum == "mismatch":
            say(f"{file.info.name}: not the published file ({file.md5}). {file.note}".strip())


app.command("list", cls=VerbCommand)(list_files)
app.command("get", cls=VerbCommand)(get)
app.command("verify", cls=VerbCommand)(verify)
app.command("path", cls=VerbCommand)(path)
