"""Files of JSON lines whose every line carries a check.

The last field of a line, `check`, is the CRC-32 of its bytes before that field, started with the number of
the line in its file, from 1: a changed line does not match it, nor do the lines after one that was removed or
added. Lines of early versions have no check; they come before those that have one. An empty line is skipped:
it holds the place of a line that was taken out on purpose. A last line that was cut short does not count.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from mmdbench.errors import StoreError
from mmdbench.records import REPLACED
from mmdbench.system.files import append_whole, open_atomic
from mmdbench.system.json_text import MOST_LEVELS, parse_record
from mmdbench.system.unicode_text import readable

__all__ = [
    "LineAppender",
    "LineCount",
    "checked_line",
    "count_lines",
    "mend_end",
    "read_lines",
    "read_records",
    "read_typed_lines",
    "write_lines",
]

_T = TypeVar("_T")
_decode_intact = msgspec.json.Decoder().decode
"""Three times as quick as `parse_record`, for unchanged lines; it takes the last of two equal keys."""

_FIELD = b',"check":"'
_LENGTH = len(_FIELD) + len('00000000"}')


@dataclass(frozen=True, slots=True)
class LineCount:
    """The number of whole lines of a file, and of those at its beginning that have no check."""

    lines: int
    unchecked: int


class LineAppender:
    """A file that checked lines are appended to.

    Its end is mended when it is opened, unless its number of `lines` is known. Raises OSError.
    """

    def __init__(self, path: Path, lines: int | None = None) -> None:
        self.file: IO[bytes] = path.open("a+b", buffering=0)
        self.lines = mend_end(path) if lines is None else lines

    def append(self, text: str) -> None:
        """Append the JSON text of an object; when this returns, the operating system has all of it.

        Raises OSError, and leaves no part of the line in the file.
        """
        append_whole(self.file, checked_line(text, self.lines + 1))
        self.lines += 1

    def sync(self) -> None:
        """Force the file to the disk."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def checked_line(text: str, number: int) -> bytes:
    r"""The JSON text of an object, which has a field at least, as the checked line of that number.

    >>> checked_line('{"a": 1}', 1)
    b'{"a": 1,"check":"dcdf89b0"}\n'
    """
    body = text.encode()[:-1]
    return b'%b%b%08x"}\n' % (body, _FIELD, zlib.crc32(body, number))


def write_lines(path: Path, texts: Iterable[str]) -> None:
    """Write a whole file of checked lines from the JSON texts of objects. Raises StoreError."""
    with open_atomic(path) as file:
        for number, text in enumerate(texts, 1):
            file.write(checked_line(text, number))


def read_lines(path: Path, *, skip_broken: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of a file of JSON lines with their line numbers.

    Args:
        path: The file.
        skip_broken: Skip lines without a check that are no JSON: early versions left lines that were cut
            short inside the journals of judges.

    Yields:
        The number of the line, from 1, and its record without the check.

    Raises:
        StoreError: The file cannot be read, or a line is not a record, does not match its check or lacks one.
    """
    for number, line, has_check in _whole_lines(path):
        try:
            record = _parse(line, intact=has_check)
        except ValueError as error:
            if skip_broken and not has_check:
                continue
            raise _damaged(path, number, f"is not a JSON record: {error}") from error
        if has_check:
            record.pop("check", None)
        yield number, record


def read_typed_lines(
    path: Path,
    kind: type[_T],
    wrong: Callable[[Path, int, Exception], StoreError],
    convert: Callable[[dict[str, Any]], _T] | None = None,
) -> Iterator[tuple[int, _T]]:
    """The lines of a file of JSON lines as values of a type, six times as quick as the records.

    Args:
        path: The file.
        kind: A type that msgspec can decode.
        wrong: Makes the error for a line that is no value of the type from file, number and reason.
        convert: Makes the value of a record that was read leniently; by default msgspec's `convert`.

    Yields:
        The number of the line, from 1, and its value.

    Raises:
        StoreError: As `read_lines`, or a record is no value of the type.
    """
    decode = msgspec.json.Decoder(kind).decode
    for number, line, has_check in _whole_lines(path):
        if has_check and _is_plain(line):
            try:
                yield number, decode(line)
                continue
            except ValueError:  # of another shape, or with a number or a text that `parse_record` takes
                pass
        try:
            record = _parse(line, intact=has_check)
        except ValueError as error:
            raise _damaged(path, number, f"is not a JSON record: {error}") from error
        try:
            yield number, convert(record) if convert else msgspec.convert(record, kind)
        except ValueError as error:
            raise wrong(path, number, error) from error


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """The lines of a file that are not cut short: number, bytes, and True if it carries its check."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error
    checked = False
    with file:
        for number, line in enumerate(file, 1):
            has_check = _is_intact(line, number)
            if not has_check:  # nearly no line
                if line == b"\n":
                    continue
                if not line.endswith(b"\n") and _is_cut_short(line):
                    return
                check = _check_of(line)
                if check is None and checked:
                    raise _damaged(path, number, "has no check, although lines before it have one")
                has_check = check is not None
                if has_check and zlib.crc32(line[: _end(line)], number) != check:
                    raise _damaged(path, number, "was changed, or a line before it was removed or added")
            checked = checked or has_check
            yield number, line, has_check


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of `read_lines`, without the numbers."""
    return (record for _, record in read_lines(path))


def count_lines(path: Path) -> LineCount:
    """Count the lines of a file, the last one too if it is whole. Raises StoreError."""
    lines = unchecked = 0
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n") and _is_cut_short(line):
                    break
                lines += 1
                if unchecked == lines - 1 and line != b"\n" and _check_of(line) is None:
                    unchecked = lines
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error
    return LineCount(lines, unchecked)


def mend_end(path: Path) -> int:
    """Remove an incomplete last line, or end a whole one with its newline; returns the number of lines."""
    lines = size = 0
    line = b""
    with path.open("rb+") as file:
        for line in file:
            lines += 1
            size += len(line)
        if line and not line.endswith(b"\n"):
            if _is_cut_short(line):
                file.truncate(size - len(line))
                return lines - 1
            file.seek(0, os.SEEK_END)
            file.write(b"\n")
    return lines


def _parse(line: bytes, *, intact: bool) -> dict[str, Any]:
    record = None
    if intact and _is_plain(line):
        try:
            record = _decode_intact(line)
        except ValueError:  # NaN, an infinite number or half a surrogate pair, which a reply may hold
            record = None
    if not isinstance(record, dict):
        record = parse_record(line)
    # An earlier version stored replies with halves of surrogate pairs.
    if b"\\ud" in line and isinstance(record.get("details"), dict):
        record, replaced = readable(record)
        record["details"] |= {REPLACED: replaced} if replaced else {}
    return record


def _is_plain(line: bytes) -> bool:
    """True for a line that is not deep, and holds no half of a surrogate pair."""
    return line.count(b"[") + line.count(b"{") <= MOST_LEVELS and b"\\ud" not in line


def _is_intact(line: bytes, number: int) -> bool:
    """True if a line ends with the check that `checked_line` gives it."""
    end = -_LENGTH - 1
    return line[end:] == b'%b%08x"}\n' % (_FIELD, zlib.crc32(line[:end], number))


def _end(line: bytes) -> int:
    """The place of the check in a line that has one."""
    return len(line) - line.endswith(b"\n") - _LENGTH


def _check_of(line: bytes) -> int | None:
    """The check that a line carries; None if it carries none."""
    field = line[_end(line) :].rstrip(b"\n") if len(line) > _LENGTH else b""
    if not (field.startswith(_FIELD) and field.endswith(b'"}')):
        return None
    try:
        return int(field[len(_FIELD) : -2], 16)
    except ValueError:
        return None


def _is_cut_short(line: bytes) -> bool:
    """True if the beginning of a line is not a whole JSON value: more bytes were to come."""
    try:
        json.JSONDecoder().raw_decode(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return True
    return False


def _damaged(path: Path, number: int, why: str) -> StoreError:
    return StoreError(
        f"{path}, line {number} {why}.",
        hint="Take the file from a copy, or move what the line holds elsewhere and leave it empty: the other "
        "lines are good.",
    )
