"""`mmdbench data`: list, download and check benchmark files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.errors import guarded
from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.terminal import Terminal

if TYPE_CHECKING:
    from mmdbench.benches.data_files import DataFile
    from mmdbench.benches.fetch import FetchSettings
    from mmdbench.variants.released_data import ReleasedState

__all__ = ["app"]

app = typer.Typer(help="List, download and check benchmark files.", no_args_is_help=True)

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
    from mmdbench.benches.data_files import list_data
    from mmdbench.variants.released_data import DATASET, list_published, local_released, released_state

    if released:
        _print_released([released_state(file, data_dir) for file in list_published()])
        return
    _print(list_data(data_dir))
    _print_released(local_released(data_dir))
    say(f"The authors' degraded files are in {DATASET}: mmdbench data list --released")


@guarded
def get(names: Names, data_dir: opts.LocalDataDir = None, yes: opts.Yes = False) -> None:
    """Download missing files; run the command again to resume; exit 4 if a file is not the published one."""
    from mmdbench.benches.data_files import get_data
    from mmdbench.library.sources import download_progress

    released, names = _split(names)
    with download_progress(Terminal()) as settings:
        states = _get_released(released, data_dir, settings, yes=yes) if released else ()
        found = get_data(names, data_dir=data_dir, settings=settings)
    _print(found)
    _print_released(states)
    _require_published(found, states)


@guarded
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks; none for all.")] = None,
    data_dir: opts.LocalDataDir = None,
) -> None:
    """Compare checksums with those of the published files; exit 4 if one differs."""
    from mmdbench.benches.data_files import verify_data
    from mmdbench.variants.released_data import (
        PublishedFile,
        choose_published,
        local_released,
        released_state,
    )

    released, benches = _split(names or ())
    here = [PublishedFile(f"{state.name}.tsv", 0) for state in local_released(data_dir)]
    chosen = here if not names else choose_published([n for n in released if n.startswith("released")], here)
    chosen = [*chosen, *(PublishedFile(f"{n}.tsv", 0) for n in released if not n.startswith("released"))]
    states = [released_state(file, data_dir, again=True) for file in chosen]
    found = verify_data(benches, data_dir=data_dir) if benches or not released else ()
    _print(found)
    _print_released(states)
    _require_published(found, states)


@guarded
def path(
    name: Annotated[str, typer.Argument(help="A benchmark.")], data_dir: opts.LocalDataDir = None
) -> None:
    """Print the path of a benchmark's file, or of a degraded one."""
    from mmdbench.benches.data_files import data_path
    from mmdbench.benches.fetch import find_file

    say(str(find_file(f"{name}.tsv", data_dir) or data_path(name, data_dir=data_dir)))


def _split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of the authors' degraded files, and the others."""
    from mmdbench.variants.released_data import is_released_name

    parts = [part.strip() for name in names for part in name.split(",") if part.strip()]
    return [p for p in parts if is_released_name(p)], [p for p in parts if not is_released_name(p)]


def _get_released(
    names: Sequence[str], data_dir: Path | None, settings: FetchSettings, *, yes: bool
) -> tuple[ReleasedState, ...]:
    from mmdbench.library.downloads import released_files, require_consent, show_missing
    from mmdbench.variants.released_data import (
        choose_published,
        fetch_published,
        list_published,
        released_state,
    )

    chosen = choose_published(names, list_published(settings))
    missing = [file for file in chosen if released_state(file, data_dir).path is None]
    if missing:
        screen = Terminal()
        show_missing(released_files(missing), screen)
        require_consent(sum(file.bytes for file in missing), screen, yes=yes)
    return fetch_published(chosen, data_dir, settings)


def _require_published(files: Sequence[DataFile], released: Sequence[ReleasedState] = ()) -> None:
    if "mismatch" in [*(file.checksum for file in files), *(file.checksum for file in released)]:
        raise typer.Exit(4)


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


def _print(files: tuple[DataFile, ...]) -> None:
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


app.command("list")(list_files)
app.command("get")(get)
app.command("verify")(verify)
app.command("path")(path)
