"""The openai client, for the batch files of one endpoint; chat completions are sent by `chat_client`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib import import_module, util
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from mmdbench.errors import MissingExtraError
from mmdbench.models.endpoints import is_local
from mmdbench.models.failures import AttemptError, kind_of_connection

from .access import Access, is_openai
from .chat_client import deepest, status_failure
from .response import reply_too_large
from .settings import ApiSettings

__all__ = ["OpenAIClient"]

T = TypeVar("T")

_CONNECT_SECONDS = 20.0
_REPLIES_IN_FILE = 64
"""A file of a batch's replies is at most so many times as large as a reply may be."""
# Facts about this machine that the client would send with every request.
_LEFT_OUT = tuple(
    f"x-stainless-{name}"
    for name in ("lang", "package-version", "os", "arch", "runtime", "runtime-version", "async")
)
# Headers of a response that do not hold for what was read of it.
_OF_TRANSFER = (b"content-encoding", b"content-length", b"transfer-encoding")


class OpenAIClient:
    """Runs tasks with the openai client; its connections belong to the event loop that first uses it."""

    def __init__(self, settings: ApiSettings, access: Access) -> None:
        if util.find_spec("openai") is None:
            raise MissingExtraError("The openai client", extra="api")
        self._settings = settings
        self._access = access
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"OpenAIClient({self._settings.endpoint})"

    async def call(
        self, task: Callable[[Any, Mapping[str, Any]], Awaitable[T]], seconds: float | None = None
    ) -> T:
        """Run a task with the client and the arguments that each of the client's methods needs.

        Args:
            task: The task.
            seconds: The longest duration; None for the `timeout` of the settings.

        Returns:
            The result of the task.

        Raises:
            AttemptError: The task failed; the error holds no key and no value of a header.
        """
        openai: Any = import_module("openai")
        client, extra = self._opened(openai), self._extra(openai)
        longest = self._settings.timeout if seconds is None else seconds
        try:
            return await asyncio.wait_for(task(client, extra), longest)
        except Exception as error:  # noqa: BLE001 - whatever it is, its message may hold the key
            failure = self._failure(openai, error, longest)
        raise failure

    async def close(self) -> None:
        """Close the connections; the next task opens new ones."""
        client, self._client, self._loop = self._client, None, None
        if client is not None:
            await client.close()

    def _extra(self, openai: Any) -> dict[str, Any]:
        # No "none" instead of a key: a server that expects another header may refuse it.
        has_login = self._access.key or "authorization" in map(str.lower, self._access.headers)
        extra: dict[str, Any] = {"extra_headers": None if has_login else {"Authorization": openai.Omit()}}
        if self._settings.query:
            extra["extra_query"] = dict(parse_qsl(self._settings.query))
        return extra

    def _failure(self, openai: Any, error: Exception, seconds: float) -> AttemptError:
        access, too_large = self._access, _found(error, AttemptError)
        if too_large is not None:
            return too_large
        if isinstance(error, openai.APIStatusError):
            # Not error.body: the client leaves out what is beside {"error": …}, such as a code.
            response, text = error.response, access.hidden(error.response.text)
            return status_failure(error.status_code, text, response.headers, access, self._settings)
        if isinstance(error, openai.APIConnectionError | asyncio.TimeoutError):
            # A refused connection may be called a timeout, so the errors behind it decide.
            late = isinstance(error, openai.APITimeoutError | asyncio.TimeoutError)
            kind = kind_of_connection(error, "timeout" if late else "dropped")
            return AttemptError(
                kind,
                f"no answer within {seconds:g} s" if kind == "timeout" else access.reason(deepest(error)),
            )
        kind = "malformed" if isinstance(error, openai.OpenAIError) else "unexpected"
        return AttemptError(kind, access.reason(f"{type(error).__name__}: {error}"))

    def _opened(self, openai: Any) -> Any:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client, self._loop = self._open(openai), loop
        return self._client

    def _open(self, openai: Any) -> Any:
        settings = self._settings
        made = _client_class(openai)(
            api_key=self._access.key or "none",
            base_url=settings.endpoint,
            timeout=openai.Timeout(settings.timeout, connect=min(_CONNECT_SECONDS, settings.timeout)),
            max_retries=0,
            http_client=_bounded_client(openai)(
                most_mb=settings.reply_mb,
                trust_env=not is_local(
                    settings.endpoint
                ),  # a proxy is for other machines, never for this one
                follow_redirects=False,  # nothing is sent to another host
            ),
        )
        made.fix_headers(self._access.headers, is_openai=is_openai(settings.endpoint))
        return made


def _found(error: BaseException | None, kind: type[T]) -> T | None:
    """The error of that kind among an error and its causes."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


@cache
def _bounded_client(openai: Any) -> Any:
    """A class of HTTP clients that read no response above a limit, after decompression."""

    class BoundedClient(openai.DefaultAsyncHttpxClient):  # type: ignore[misc]  # an Any
        def __init__(self, most_mb: float, **settings: Any) -> None:
            super().__init__(**settings)
            self._most_mb = most_mb

        async def send(self, request: Any, **settings: Any) -> Any:
            response = await super().send(request, **{**settings, "stream": True})
            most_mb = self._most_mb * (_REPLIES_IN_FILE if request.url.path.endswith("/content") else 1)
            parts, size = [], 0
            try:
                async for part in response.aiter_bytes():
                    size += len(part)
                    if size > most_mb * 1e6:
                        raise reply_too_large(most_mb)
                    parts.append(part)
            finally:
                await response.aclose()
            headers = [one for one in response.headers.raw if one[0].lower() not in _OF_TRANSFER]
            return type(response)(
                response.status_code, headers=headers, content=b"".join(parts), request=request
            )

    return BoundedClient


@cache
def _client_class(openai: Any) -> Any:
    """A class like `openai.AsyncOpenAI` whose headers are those of the card and of the endpoint alone."""

    class QuietClient(openai.AsyncOpenAI):  # type: ignore[misc]  # an Any
        _fixed: Mapping[str, Any] | None = None

        @property
        def default_headers(self) -> Mapping[str, Any]:
            return super().default_headers if self._fixed is None else self._fixed

        def fix_headers(self, own: Mapping[str, str], *, is_openai: bool) -> None:
            """Fix the headers; `own` are those of the model card."""
            if not is_openai:
                # The client takes these from the environment; other servers must not see them.
                self.organization = self.project = None
                self._custom_headers: Mapping[str, Any] = {}
            replaced = {*_LEFT_OUT, *(name.lower() for name in own)}
            headers = super().default_headers.items()
            kept = {k: v for k, v in headers if k.lower() not in replaced and isinstance(v, str)}
            self._fixed = {**kept, **own}

    return QuietClient
