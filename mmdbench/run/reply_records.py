"""Stored replies, read back from the records of a run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict, get_args

from mmdbench.errors import ShapeError
from mmdbench.records import Reply, Status
from mmdbench.system.shapes import MOST_WHOLE, check_shape, is_number
from mmdbench.system.small_tables import SmallTable

__all__ = ["read_reply"]

_FIELDS = frozenset(Reply.__dataclass_fields__)


def read_reply(record: Mapping[str, Any]) -> Reply:
    """Read a reply back, without fields that a newer version added. Raises TypeError for wrong types."""
    values = dict(record) if record.keys() <= _FIELDS else {k: v for k, v in record.items() if k in _FIELDS}
    values["images"] = tuple(values.get("images", ()))
    made = Reply(**values)
    _check_reply(made)
    return made


def _check_reply(reply: Reply) -> None:
    """Raise TypeError for a reply with a field of another type; quick, for there are half a million."""
    texts = (reply.key, reply.bench, reply.level, reply.text, reply.reason, reply.asked)
    if tuple(map(type, texts)) != _SIX_TEXTS or not isinstance(reply.details, dict):
        raise TypeError("a text or the details are of another type")
    if not (reply.corruption is None or reply.corruption.__class__ is str) or reply.status not in _STATUSES:
        raise TypeError("its corruption or status is none that exists")
    if reply.index.__class__ not in (int, str):
        raise TypeError("its index must be a whole number or text")
    numbers = (reply.seconds, reply.attempts, reply.generation, reply.repeat)
    if tuple(map(type, numbers)) != _NUMBERS or not 0 <= min(numbers) <= max(numbers) <= MOST_WHOLE:
        for name in ("seconds", "attempts", "generation", "repeat"):
            number = getattr(reply, name)
            if not is_number(number, whole=name != "seconds") or number < 0:
                raise TypeError(f"{name} must be a number of at least 0")
    for image in reply.images:
        _check_image(image)
    if reply.asked and not _is_time(reply.asked):
        raise TypeError(f"asked must be a time with its zone, got {reply.asked[:40]!r}")


def _check_image(image: Any) -> None:
    # Nearly all are tables like this.
    if (
        image.__class__ in _TABLES
        and "restored" not in image
        and image.get("pixels", "").__class__ is str
        and image.get("recipe", _NO_RECIPE).__class__ in _TABLES
    ):
        return
    try:
        check_shape(image, _ReplyImage, "images")
    except ShapeError as error:
        raise TypeError(error.message) from error


class _Restored(TypedDict):
    seconds: float


class _ReplyImage(TypedDict, total=False):
    pixels: str
    recipe: dict[str, Any]
    restored: _Restored


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


_STATUSES = frozenset(get_args(Status))
_SIX_TEXTS, _NUMBERS = (str,) * 6, (float, int, int, int)
_TABLES = (dict, SmallTable)
_NO_RECIPE: dict[str, Any] = {}
