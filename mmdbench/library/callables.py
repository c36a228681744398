"""Python functions as models: a function of pictures and a prompt that returns the answer's text."""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from PIL import Image

from mmdbench.errors import UsageError
from mmdbench.models.registry import AsyncModel, Model
from mmdbench.records import Outcome, Request
from mmdbench.system.bounds import require_at_least
from mmdbench.system.digest import bytes_digest

__all__ = ["AnswerFunction", "BatchFunction", "batched", "function_model"]

AnswerFunction = Callable[[list[Image.Image], str], str] | Callable[[list[Image.Image], str], Awaitable[str]]
"""A function that gets the pictures of a question (RGB) and its prompt and returns the answer."""

BatchFunction = Callable[[list[list[Image.Image]], list[str]], Sequence[str]]
"""A function that gets the pictures of each question and each prompt and returns as many answers."""

F = TypeVar("F", bound=BatchFunction)

_BATCH_SIZE = "_mmdbench_batch_size"
_CONCURRENCY = 16


def batched(size: int) -> Callable[[F], F]:
    """Mark a function that answers several questions at once.

    >>> @batched(8)
    ... def model(images, prompts):
    ...     return ["A" for _ in prompts]

    Args:
        size: The most questions in one call, at least 1.

    Returns:
        A decorator; the function then gets lists of pictures and prompts, and returns a list of texts.
    """
    require_at_least("size of a batch", size, 1)

    def mark(function: F) -> F:
        setattr(function, _BATCH_SIZE, size)
        return function

    return mark


def function_model(
    function: Callable[..., Any], name: str, version: str = "", concurrency: int | None = None
) -> Model | AsyncModel:
    """The model of a function: asked through coroutines if it is async, in batches if it is `batched`.

    Args:
        function: An `AnswerFunction`, or a `BatchFunction` marked by `batched`.
        name: The name of the model.
        version: A text that changes with everything that the function's source does not show: weights, data.
        concurrency: The most calls of an async function at the same time, 16 by default.

    Returns:
        A Model or an AsyncModel.

    Raises:
        UsageError: An async function is marked by `batched`, or a concurrency is given for another one.
    """
    size = getattr(function, _BATCH_SIZE, None)
    fingerprint = {"adapter": "function", "version": "1", "name": name, "code": _source_digest(function)}
    fingerprint |= {"user_version": version} if version else {}
    if _is_async(function):
        if size is not None:
            raise UsageError(f"{name} is async and cannot be batched.", hint="Leave out one of the two.")
        return _AsyncFunction(function, fingerprint, concurrency or _CONCURRENCY)
    if concurrency is not None:
        raise UsageError(
            f"{name} is not async: its calls follow each other, and no concurrency can be set.",
            hint="Write async def, or answer many questions in a call: @mmdbench.batched(8).",
        )
    return _Function(function, fingerprint, size)


class _Function:
    """A Model that calls a function, for each request or for each batch."""

    def __init__(
        self, function: Callable[..., Any], fingerprint: Mapping[str, Any], size: int | None
    ) -> None:
        self._function, self._fingerprint, self._size = function, fingerprint, size
        self.batch_size = size or 1

    def fingerprint(self) -> Mapping[str, Any]:
        return self._fingerprint

    def generate(self, requests: Sequence[Request]) -> list[Outcome]:
        if self._size is None:
            return [_outcome(self._function(_pictures(r), r.prompt)) for r in requests]
        texts = self._function([_pictures(r) for r in requests], [r.prompt for r in requests])
        if isinstance(texts, str) or len(texts) != len(requests):
            raise TypeError(f"the function must return a list of {len(requests)} texts, one for each prompt")
        return [_outcome(text) for text in texts]


class _AsyncFunction:
    """An AsyncModel that awaits a function for each request; an exception is a failed request."""

    def __init__(
        self, function: Callable[..., Awaitable[Any]], fingerprint: Mapping[str, Any], concurrency: int
    ) -> None:
        self._function, self._fingerprint = function, fingerprint
        self.concurrency = concurrency

    def fingerprint(self) -> Mapping[str, Any]:
        return self._fingerprint

    async def agenerate(self, request: Request) -> Outcome:
        return _outcome(await self._function(_pictures(request), request.prompt))


def _pictures(request: Request) -> list[Image.Image]:
    pictures = []
    for image in request.images:
        with Image.open(io.BytesIO(image.data)) as opened:
            pictures.append(opened.convert("RGB"))
    return pictures


def _outcome(text: Any) -> Outcome:
    if not isinstance(text, str):
        raise TypeError(f"the function must return a text, got {type(text).__name__}")
    return Outcome(text) if text.strip() else Outcome(text, "empty", "the function returned no text")


def _is_async(function: Callable[..., Any]) -> bool:
    plain = function.func if isinstance(function, functools.partial) else function
    return inspect.iscoroutinefunction(plain) or inspect.iscoroutinefunction(type(plain).__call__)


def _source_digest(function: Callable[..., Any]) -> str:
    """A digest of the source of a function, or of the class of an object that can be called."""
    plain = inspect.unwrap(function.func if isinstance(function, functools.partial) else function)
    if not (inspect.isfunction(plain) or inspect.ismethod(plain)):
        plain = type(plain)
    try:
        return bytes_digest(inspect.getsource(plain).encode())
    except (OSError, TypeError):  # built in, compiled, or typed into a prompt
        return bytes_digest(f"{plain.__module__}.{plain.__qualname__}".encode())
