"""Paths and URLs on the command line: inputs are copied here first, outputs are uploaded afterwards.

Every parameter that is a path names one of the parsers below, which refuse an empty text. A URL given to a
parameter that takes none is refused, and never becomes a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from mmdbench.cli._shared.output import say
from mmdbench.errors import UsageError

__all__ = ["BENCH", "DATA_DIR", "FILE", "FOLDER", "LOCAL", "OUT", "RUN", "open_urls"]


@dataclass(frozen=True, slots=True)
class _Url:
    """A URL as it was given, and its use: bench, data, file, read, run or write."""

    text: str
    use: str

    def __str__(self) -> str:
        return self.text


def _parser(use: str = "", plain: Callable[[str], Any] = Path) -> Callable[[str], Any]:
    def path(given: str) -> Any:
        text = str(given)
        if (
            not text.strip()
        ):  # as of a variable that a script did not set; Path("") would be the working folder
            raise typer.BadParameter("must not be empty.")
        return _Url(text, use) if use and "://" in text else plain(text)

    return path


BENCH = _parser("bench", str)
"""Names and files of benchmarks, with commas between them."""
LOCAL = _parser()
"""A file or folder on this machine."""
DATA_DIR = _parser("data")
"""A folder of benchmark files; each is fetched when it is opened."""
FILE = _parser("file")
"""A file to read."""
FOLDER = _parser("read")
"""The folder of a build or of a run, to read."""
OUT = _parser("write")
"""The folder of a build or of a run, to write or resume."""
RUN = _parser("run", str)
"""The folder of a run, or the name of published results."""


@contextmanager
def open_urls(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the verb's values with a path in place of every URL; upload written folders on exit."""
    with ExitStack() as stack:
        _refuse_clashes(values)
        opened: dict[tuple[str, str], Any] = {}
        dry_run = bool(values.get("dry_run"))
        yield {name: _open_value(name, value, opened, stack, dry_run) for name, value in values.items()}


def _open_value(
    name: str, value: Any, opened: dict[tuple[str, str], Any], stack: ExitStack, dry_run: bool
) -> Any:
    if isinstance(value, list):
        return [_open_value(name, one, opened, stack, dry_run) for one in value]
    if isinstance(value, _Url):
        key = _key(value)
        if key not in opened:  # a run given twice has one copy and one lock
            opened[key] = _open_url(value, stack, dry_run)
        return str(opened[key]) if value.use == "run" else opened[key]
    if isinstance(value, Path):
        from mmdbench.library.options import local_path

        return local_path(value, f"--{name.replace('_', '-')}")
    return value


def _open_url(url: _Url, stack: ExitStack, dry_run: bool) -> Any:
    from mmdbench.system.remote import (
        data_folder,
        fetch_file,
        is_url,
        no_downloads,
        reading_copy,
        working_copy,
    )

    if url.use == "bench":
        parts = (part.strip() for part in url.text.split(","))
        with no_downloads() if dry_run else nullcontext():
            return ",".join(str(fetch_file(part)) if is_url(part) else part for part in parts)
    if url.use == "file":
        return fetch_file(url.text)
    if url.use == "data":
        return data_folder(url.text)
    if url.use == "write":
        return stack.enter_context(working_copy(url.text, _print_note))
    return stack.enter_context(reading_copy(url.text))


def _key(url: _Url) -> tuple[str, str]:
    """Key of a URL that is opened once: its use and its text, of folders without secrets."""
    if url.use in ("file", "bench"):
        return url.use, url.text
    return "read" if url.use == "run" else url.use, _folder(url)


def _folder(url: _Url) -> str:
    from mmdbench.system.remote import plain_url

    return plain_url(url.text).rstrip("/")


def _print_note(text: str) -> None:
    say(f"mmdbench: {text}", err=True)


def _refuse_clashes(values: Mapping[str, Any]) -> None:
    flat = [one for value in values.values() for one in (value if isinstance(value, list) else [value])]
    urls = [one for one in flat if isinstance(one, _Url)]
    written = {_folder(url) for url in urls if url.use == "write"}
    for url in urls:
        if url.use != "write" and _folder(url) in written:
            raise UsageError(
                "A URL must not be both read and written.", hint="Name another place to write to."
            )
