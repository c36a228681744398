"""Reads the header of a safetensors file: shapes and dtypes of its tensors, without torch."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TypedDict

from mmdbench.errors import ModelError
from mmdbench.system.json_text import parse_json
from mmdbench.system.shapes import check_shape

__all__ = ["FLOAT_DTYPES", "Entry", "read_header"]

FLOAT_DTYPES = frozenset({"F64", "F32", "BF16", "F16", "F8_E4M3", "F8_E5M2"})
"""The floating-point dtypes, in the words of safetensors."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor in a file: its shape, its dtype in the words of safetensors, and the file."""

    shape: tuple[int, ...]
    dtype: str
    file: Path

    @property
    def count(self) -> int:
        """The number of numbers in the tensor."""
        return prod(self.shape)


class _TensorRecord(TypedDict):
    shape: list[int]
    dtype: str
    data_offsets: tuple[int, int]


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of a safetensors file by key. Raises ModelError for a file that is not whole."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            size = path.stat().st_size
            if not 2 <= length <= size - 8:
                raise ValueError("no header")
            header = parse_json(file.read(length))
        check_shape(header, dict, "header")
        records = {key: value for key, value in header.items() if key != "__metadata__"}
        check_shape(records, dict[str, _TensorRecord], "header")
        entries = {key: Entry(tuple(r["shape"]), r["dtype"], path) for key, r in records.items()}
        expected = 8 + length + max((r["data_offsets"][1] for r in records.values()), default=0)
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.") from error
    except (struct.error, ValueError) as error:
        hint = "It may be an unfinished download or a pointer file of git-lfs."
        raise ModelError(f"{path} is not a safetensors file.", hint=hint) from error
    if size != expected:
        raise ModelError(
            f"{path} has {size} bytes; its header promises {expected}.", hint="Download it again."
        )
    return entries
