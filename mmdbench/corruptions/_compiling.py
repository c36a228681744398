"""Compilation of this package's numba functions; importing this module imports numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from llvmlite import ir

__all__ = ["compiled", "splat"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile without the interpreter's lock and without fast-math; cache the code for later processes."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        done: _Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # numba finds no writable folder for its cache: compile in every process instead.
        done = numba.njit(**options)(function)
    return done


def splat(builder: Any, number: Any, vector: Any) -> Any:
    """A vector of the given type that holds `number` in every lane."""
    lane = ir.IntType(32)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, lane(0))
    lanes = ir.VectorType(lane, vector.count)
    return builder.shuffle_vector(one, one, ir.Constant(lanes, [0] * vector.count))
