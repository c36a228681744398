"""Steps compiled by torch.compile, and the caches of fixed sizes that they run on.

A step is a function of tensors: lengths and positions of contexts, ids and noise levels come in tensors, so
the graph of one token serves the next one, and with the backend `inductor` on a GPU it is a CUDA graph.
Sizes are rounded up to powers of two, so texts and pictures of many sizes share a few graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal, ParamSpec, TypeVar

import torch

from mmdbench.errors import ModelError

from .chunks import Engine
from .context import Context, StaticCache

__all__ = ["compiled", "static_cache"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_LEAST = 1024
"""Rows of the smallest cache, so that short contexts share one size."""

_GRAPHS = 32
"""Graphs of one step: a few for batch sizes, lengths and pictures; more would be a fault."""


def compiled(step: Callable[_P, _R], backend: str | Callable[..., Any]) -> Callable[_P, _R]:
    """The step, compiled as a whole by a backend of torch.compile; the step itself if there is none.

    At its first call, and for other sizes, the compiled step raises ModelError if it cannot be compiled.
    """
    return _compiled(step, backend) if backend else step


@cache
def _compiled(step: Callable[_P, _R], backend: str | Callable[..., Any]) -> Callable[_P, _R]:
    from torch import _dynamo  # late: it takes a second to import

    # Of the modes only this one has CUDA graphs; other backends have no modes.
    mode = "reduce-overhead" if backend == "inductor" else None
    run: Callable[_P, _R] = torch.compile(step, fullgraph=True, backend=backend, mode=mode)

    def bounded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _dynamo.config.patch(recompile_limit=_GRAPHS):
            torch.compiler.cudagraph_mark_step_begin()
            try:
                return run(*args, **kwargs)
            except _dynamo.exc.TorchDynamoException as error:
                reason = " ".join(str(error).partition("\n\n")[0].split())
                raise ModelError(
                    f"torch.compile fails on {step.__name__}: {reason}",
                    hint="Leave compile out, or install what it needs: a C++ compiler, on a GPU also Triton.",
                ) from error

    return bounded


def static_cache(
    engine: Engine, contexts: Sequence[Context], room: int, use: Literal["text", "picture"]
) -> StaticCache:
    """The caches of fixed size of one use, with these contexts in them.

    They are allocated again only for another size: graphs write to the same addresses in the next text.

    Args:
        engine: The loaded model, which keeps the caches.
        contexts: The contexts, copied to the first places of the batch.
        room: The number of free rows after the longest.
        use: What it is for, of which each has caches of its own. For texts the batch is rounded up, too;
            the rows of a picture are many, so that an idle place would cost much.

    Returns:
        The caches; the batch may have more places than there are contexts.
    """
    batch = _rounded_up(len(contexts)) if use == "text" else len(contexts)
    capacity = max(_LEAST, _rounded_up(max(context.length for context in contexts) + room))
    held = engine.caches.get(use)
    if held is None or held.keys[0].shape[::2] != (batch, capacity):
        engine.caches.pop(use, None)
        del held
        held = StaticCache.empty(batch, capacity, engine.model.language_model.cache_shape())
        engine.caches[use] = held
    held.fill(contexts)
    return held


def _rounded_up(count: int) -> int:
    """The power of two that is at least `count`."""
    return 1 << (count - 1).bit_length()
