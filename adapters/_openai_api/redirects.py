"""Redirects of requests that other code sends: refused while it is called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["moved_to", "no_redirects"]

_CLIENTS = ("httpx", "httpx2")
_forbidden: ContextVar[bool] = ContextVar("redirects_forbidden", default=False)


@contextmanager
def no_redirects() -> Iterator[None]:
    """Let no client of httpx follow a redirect within the block, also in tasks and threads that it starts.

    The response with the redirect is then an error of the code that asked.
    """
    for name in _CLIENTS:
        module = sys.modules.get(name)
        for kind in (getattr(module, "Client", None), getattr(module, "AsyncClient", None)):
            if kind is not None and not hasattr(kind.send, "is_guarded"):
                kind.send = _guarded(kind.send)
    token = _forbidden.set(True)
    try:
        yield
    finally:
        _forbidden.reset(token)


def moved_to(error: BaseException | None) -> str:
    """The address that a server redirected to, by the error that came of it or its causes; empty for none."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None and getattr(response, "has_redirect_location", False) is True:
            return str(response.headers["location"])
        error = error.__cause__ or error.__context__
    return ""


def _guarded(send: Any) -> Any:
    """The method `send` of a client, whether it is a coroutine or not, that obeys `no_redirects`."""

    def guarded(self: Any, request: Any, **settings: Any) -> Any:
        if _forbidden.get():
            settings["follow_redirects"] = False
        return send(self, request, **settings)

    guarded.is_guarded = True  # type: ignore[attr-defined]  # a mark
    return guarded
