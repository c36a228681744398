"""Stored replies, read back from the records of a run's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from sys import intern
from typing import Annotated, Any, overload

import msgspec

from mmdbench.records import Index, Reply, Status
from mmdbench.system.shapes import MOST

__all__ = [
    "Shared",
    "StoredImages",
    "StoredReply",
    "any_no_op",
    "make_reply",
    "read_line",
    "read_reply",
    "restored_seconds",
    "same_pixels",
]

_Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=MOST)]


class _Restored(msgspec.Struct, gc=False):
    seconds: _Seconds


class _Image(msgspec.Struct, gc=False):
    pixels: str = ""
    no_op: bool = False
    recipe: dict[str, Any] | None = None
    restored: _Restored | None = None


class StoredImages(Sequence[Mapping[str, Any]]):
    """The records of a reply's pictures, kept as JSON: half a million replies have as many.

    `any_no_op` and `restored` are what `any_no_op` and `restored_seconds` say of them. Raises ValueError.
    """

    __slots__ = ("_count", "_json", "any_no_op", "restored")

    def __init__(self, text: bytes) -> None:
        images = _typed_images(text)
        self._json, self._count = text, len(images)
        self.any_no_op = any(image.no_op for image in images)
        self.restored = tuple(image.restored.seconds for image in images if image.restored)

    @overload
    def __getitem__(self, place: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> Any:
        return tuple(self)[place]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(_decoded(self._json))

    def __len__(self) -> int:
        return self._count

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StoredImages) and other._json == self._json:
            return True
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(self._json)

    def __repr__(self) -> str:
        return repr(tuple(self))


Shared = dict[Callable[[bytes], Any], dict[bytes, Any]]
"""Values that replies share, by what reads them and their JSON."""


class StoredReply(msgspec.Struct, gc=False):
    """The line of a stored reply; fields that a newer version added are left out."""

    key: str
    bench: str
    index: Index
    level: str
    corruption: str | None
    status: Status
    text: str
    reason: str = ""
    attempts: _Whole = 1
    seconds: _Seconds = 0.0
    images: msgspec.Raw = msgspec.Raw(b"[]")
    details: msgspec.Raw = msgspec.Raw(b"{}")
    asked: str = ""
    generation: _Whole = 0
    repeat: _Whole = 1


def any_no_op(images: Sequence[Mapping[str, Any]]) -> bool:
    """True if a corruption left one of a reply's pictures unchanged."""
    if isinstance(images, StoredImages):
        return images.any_no_op
    return any(image.get("no_op") for image in images)


def restored_seconds(images: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
    """The time that the restoration of each restored picture of a reply took."""
    if isinstance(images, StoredImages):
        return images.restored
    return tuple(image["restored"]["seconds"] for image in images if image.get("restored"))


def same_pixels(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> bool:
    """True if two replies are about pictures of the same pixels."""
    return ours == theirs or [i.get("pixels") for i in ours] == [i.get("pixels") for i in theirs]


def read_reply(record: Mapping[str, Any]) -> Reply:
    """Read a reply back, without fields that a newer version added. Raises ValueError for wrong types."""
    return make_reply(read_line(record), {})


def read_line(record: Mapping[str, Any]) -> StoredReply:
    """The line of a record. Raises ValueError for wrong types."""
    images, details = record.get("images", ()), record.get("details", {})
    raw = {"images": _raw(images), "details": _raw(details)}
    return msgspec.convert({**record, **raw}, StoredReply)


def _raw(value: object) -> msgspec.Raw:
    # As Python writes it: NaN, which a server may have sent, is no JSON to msgspec.
    return msgspec.Raw(json.dumps(value, default=dict).encode())


def make_reply(line: StoredReply, shared: Shared) -> Reply:
    """The reply of a line.

    Args:
        line: The line.
        shared: Pictures and details of earlier replies by their JSON: replies with the same share them.

    Returns:
        The reply.

    Raises:
        ValueError: Its pictures, its details or its time are none.
    """
    if line.asked and datetime.fromisoformat(line.asked).tzinfo is None:
        raise ValueError(f"asked must be a time with its zone, got {line.asked[:40]!r}")
    return Reply(
        line.key,
        intern(line.bench),
        line.index,
        intern(line.level),
        line.corruption and intern(line.corruption),
        line.status,
        line.text,
        line.reason,
        line.attempts,
        line.seconds,
        _shared(line.images, shared, StoredImages),
        _shared(line.details, shared, _read_details),
        line.asked,
        line.generation,
        line.repeat,
    )


def _shared(raw: msgspec.Raw, shared: Shared, read: Callable[[bytes], Any]) -> Any:
    text, known = bytes(raw), shared.setdefault(read, {})
    found = known.get(text)
    if found is None:
        found = read(text)
        if len(known) < _MOST_SHARED:
            known[text] = found
    return found


def _read_details(text: bytes) -> dict[str, Any]:
    found = _decoded(text)
    if not isinstance(found, dict):
        raise ValueError("its details are no table")  # noqa: TRY004 - a bad line, like bad JSON
    return found


def _decoded(text: bytes) -> Any:
    """The value of a JSON text, also with what is no JSON to msgspec: NaN and infinite numbers."""
    try:
        return msgspec.json.decode(text)
    except ValueError:
        return json.loads(text)


def _typed_images(text: bytes) -> tuple[_Image, ...]:
    try:
        return _decode_images(text)
    except ValueError:
        return msgspec.convert(json.loads(text), tuple[_Image, ...])


_MOST_SHARED = 2**16
_decode_images = msgspec.json.Decoder(tuple[_Image, ...]).decode
