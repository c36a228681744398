"""`mmdbench data`: list, download and check benchmark files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.errors import guarded

if TYPE_CHECKING:
    from mmdbench.benches.data_files import DataFile

__all__ = ["app"]

app = typer.Typer(help="List, download and check benchmark files.", no_args_is_help=True)

Names = Annotated[list[str], typer.Argument(help="Benchmarks, or a set such as mmd.")]


@guarded
def list_files(data_dir: opts.LocalDataDir = None) -> None:
    """List all benchmarks and the state of their files."""
    from mmdbench.benches.data_files import list_data

    _print(list_data(data_dir))


@guarded
def get(names: Names, data_dir: opts.LocalDataDir = None) -> None:
    """Download missing files; run the command again to resume; exit 4 if a file is not the published one."""
    from mmdbench.benches.data_files import get_data
    from mmdbench.cli._shared.benches import download_progress

    with download_progress() as settings:
        found = get_data(names, data_dir=data_dir, settings=settings)
    _print(found)
    _require_published(found)


@guarded
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks; none for all.")] = None,
    data_dir: opts.LocalDataDir = None,
) -> None:
    """Compare checksums with those of the published files; exit 4 if one differs."""
    from mmdbench.benches.data_files import verify_data

    found = verify_data(names or (), data_dir=data_dir)
    _print(found)
    _require_published(found)


@guarded
def path(
    name: Annotated[str, typer.Argument(help="A benchmark.")], data_dir: opts.LocalDataDir = None
) -> None:
    """Print the path of a benchmark's file."""
    from mmdbench.benches.data_files import data_path

    typer.echo(data_path(name, data_dir=data_dir))


def _require_published(files: tuple[DataFile, ...]) -> None:
    if any(file.checksum == "mismatch" for file in files):
        raise typer.Exit(4)


def _print(files: tuple[DataFile, ...]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

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
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)
    for file in files:
        if file.checksum == "mismatch":
            typer.echo(f"{file.info.name}: not the published file ({file.md5}). {file.note}".strip())


app.command("list")(list_files)
app.command("get")(get)
app.command("verify")(verify)
app.command("path")(path)
