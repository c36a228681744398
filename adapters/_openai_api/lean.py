"""The openai client with less work for each request; what it sends and what it gives back are the same.

A fifth of its time goes into headers that never change, and into redirects, logins, cookies and hooks
that a chat completion does not meet. Both classes are made at run time, as the client is an extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["lean_client", "lean_http"]


def lean_client(openai: Any, unsaid: tuple[str, ...]) -> Any:
    """A class like `openai.AsyncOpenAI` that says the same with every request after `fix_headers()`.

    Of its default headers those in `unsaid` are left out.
    """

    class LeanClient(openai.AsyncOpenAI):  # type: ignore[misc]  # an Any
        _fixed: Mapping[str, Any] | None = None

        @property
        def default_headers(self) -> Mapping[str, Any]:
            return super().default_headers if self._fixed is None else self._fixed

        def fix_headers(self) -> None:
            said = super().default_headers
            self._fixed = {k: v for k, v in said.items() if k not in unsaid and isinstance(v, str)}

    return LeanClient


def lean_http(base: Any) -> Any:
    """A class like `base`, an asynchronous HTTP client, that hands a request straight to its connection."""

    class LeanHttp(base):  # type: ignore[misc]  # an Any
        _has_moved = False

        async def send(self, request: Any, **settings: Any) -> Any:
            find = getattr(self, "_transport_for_url", None)  # the client's choice between proxies
            if find is None or self._has_moved or settings.get("auth") is not None or settings.get("stream"):
                return await super().send(request, **settings)
            response = await find(request.url).handle_async_request(request)
            response.request = request
            try:
                if not response.has_redirect_location:
                    await response.aread()
                    return response
            except BaseException:
                await response.aclose()
                raise
            await response.aclose()
            self._has_moved = True
            return await super().send(request, **settings)

    return LeanHttp
