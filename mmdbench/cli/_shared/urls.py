"""URLs on the command line: what a verb reads is copied here first, what it writes is uploaded after it.

A parameter that takes URLs names one of the parsers below; a URL given to any other is refused, and
never becomes a path.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.errors import UsageError

__all__ = ["BENCH", "DATA_DIR", "FILE", "FOLDER", "OUT", "RUN", "ready"]

_MANGLED = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):[/\\]+[^/\\]")


@dataclass(frozen=True, slots=True)
class _Url:
    """A URL as it was given, and how the verb will use it; `open` makes a local path of it."""

    text: str
    how: str

    def __str__(self) -> str:
        return self.text


def _parser(how: str, plain: Callable[[str], Any] = Path) -> Callable[[str], Any]:
    def path(given: str) -> Any:
        text = str(given)
        return _Url(text, how) if "://" in text else plain(text)

    return path


BENCH = _parser("bench", str)
"""Names and files of benchmarks, with commas between them."""
DATA_DIR = _parser("data")
"""A folder whose files are fetched when they are asked for."""
FILE = _parser("file")
"""A file that is read."""
FOLDER = _parser("read")
"""The folder of a build or of a run, which is read."""
OUT = _parser("write")
"""The folder of a build or of a run, which is written or gone on with."""
RUN = _parser("run", str)
"""The folder of a run, or the name of published results."""


@contextmanager
def ready(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The verb's values with a path in place of every URL; on leaving, what was written is uploaded."""
    with ExitStack() as stack:
        _refuse_clashes(values)
        opened: dict[tuple[str, str], Any] = {}
        yield {name: _ready(name, value, opened, stack) for name, value in values.items()}


def _ready(name: str, value: Any, opened: dict[tuple[str, str], Any], stack: ExitStack) -> Any:
    if isinstance(value, list):
        return [_ready(name, one, opened, stack) for one in value]
    if isinstance(value, _Url):
        key = _key(value)
        if key not in opened:  # a run that is named twice has one copy, and one lock
            opened[key] = _opened(value, stack)
        return str(opened[key]) if value.how == "run" else opened[key]
    if isinstance(value, Path) and _MANGLED.match(str(value)):
        option = f"--{name.replace('_', '-')}"
        raise UsageError(
            f"{option} takes a place on this machine, not {_MANGLED.match(str(value))[1]}://…",  # type: ignore[index]
            hint="Write it here and copy it, or see docs/remote.md for what URLs can be given to.",
        )
    return value


def _opened(url: _Url, stack: ExitStack) -> Any:
    from mmdbench.system.remote import data_folder, fetch_file, is_url, reading_copy, working_copy

    if url.how == "bench":
        parts = (part.strip() for part in url.text.split(","))
        return ",".join(str(fetch_file(part)) if is_url(part) else part for part in parts)
    if url.how == "file":
        return fetch_file(url.text)
    if url.how == "data":
        return data_folder(url.text)
    if url.how == "write":
        return stack.enter_context(working_copy(url.text, _tell))
    return stack.enter_context(reading_copy(url.text))


def _key(url: _Url) -> tuple[str, str]:
    """What two URLs share if they are opened as one: of folders, all but what may be secret."""
    if url.how in ("file", "bench"):
        return url.how, url.text
    return "read" if url.how == "run" else url.how, _folder(url)


def _folder(url: _Url) -> str:
    from mmdbench.system.remote import plain_url

    return plain_url(url.text).rstrip("/")


def _tell(text: str) -> None:
    print(f"mmdbench: {text}", file=sys.stderr)


def _refuse_clashes(values: Mapping[str, Any]) -> None:
    flat = [one for value in values.values() for one in (value if isinstance(value, list) else [value])]
    urls = [one for one in flat if isinstance(one, _Url)]
    written = {_folder(url) for url in urls if url.how == "write"}
    for url in urls:
        if url.how != "write" and _folder(url) in written:
            raise UsageError(
                "The same URL cannot be read and written.", hint="Name another place to write to."
            )
