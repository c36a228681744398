"""Client of one endpoint: the openai client with explicit limits, and one attempt for each request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module, util
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from mmdbench.errors import MissingExtraError, ModelError
from mmdbench.models.endpoints import is_local
from mmdbench.models.failures import AttemptError, error_of, kind_of_connection
from mmdbench.records import Outcome
from mmdbench.system.secrets import HIDDEN

from .access import Access, address_advice, is_openai
from .fast_client import fast_client, fast_http
from .response import outcome_of
from .settings import ApiSettings

__all__ = ["ChatClient", "client_parts", "first_model"]

T = TypeVar("T")

_IDLE_SECONDS = 30.0
_CONNECT_SECONDS = 20.0
# The client would draw a number for each request, to know its own second attempts by; it makes none.
_ONE_ATTEMPT = "one attempt"
# Facts about this machine that the client would send with every request: they cost time and are private.
_LEFT_OUT = tuple(
    f"x-stainless-{name}"
    for name in ("lang", "package-version", "os", "arch", "runtime", "runtime-version", "async")
)


class ChatClient:
    """Sends chat completions to one endpoint; its connections belong to the event loop that first uses it."""

    def __init__(self, settings: ApiSettings, access: Access) -> None:
        if util.find_spec("openai") is None:
            raise MissingExtraError("The openai client", extra="api")
        self._settings = settings
        self._access = access
        self._options: Mapping[str, Any] = {"idempotency_key": _ONE_ATTEMPT}
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"ChatClient({self._settings.endpoint})"

    async def complete(self, body: Mapping[str, Any]) -> Outcome:
        """Send a request once. Raises AttemptError, which holds no key and no value of a header."""
        content_type, content = await self._send("chat/completions", body)
        return outcome_of(content_type, content, self._access.key)

    async def model_ids(self) -> list[str]:
        """The ids of the models that the endpoint serves, sorted. Raises AttemptError."""
        _, content = await self._send("models")
        try:
            return sorted(str(model["id"]) for model in json.loads(content)["data"])
        except (KeyError, TypeError, ValueError) as error:
            reason = self._access.reason(repr(error))
        raise AttemptError("malformed", f"its list of models has another form: {reason}")

    async def call(self, task: Callable[[Any, Mapping[str, Any]], Awaitable[T]]) -> T:
        """Run a task with the openai client and the arguments that each of the client's methods needs.

        Raises AttemptError, which holds no key and no value of a header.
        """
        openai, _ = client_parts()
        client = self._opened(openai)
        extra: dict[str, Any] = {"extra_headers": self._options.get("headers")}
        if self._settings.query:
            extra["extra_query"] = dict(parse_qsl(self._settings.query))
        try:
            return await task(client, extra)
        except Exception as error:  # noqa: BLE001 - whatever it is, its message may hold the key
            failure = self._failure(openai, error, self._settings.timeout)
        raise failure

    async def _send(self, path: str, body: Mapping[str, Any] | None = None) -> tuple[str, bytes]:
        """The content type and the body of a response; without a `body` the request is a GET."""
        openai, response_type = client_parts()
        client, address = self._opened(openai), self._settings.address(path)
        seconds = self._settings.timeout if body else min(_CONNECT_SECONDS, self._settings.timeout)
        try:
            if body is None:
                options = {**self._options, "timeout": seconds}
                response = await client.get(address, cast_to=response_type, options=options)
            else:
                response = await client.post(address, body=body, cast_to=response_type, options=self._options)
            content = await response.aread()
        except Exception as error:  # noqa: BLE001 - whatever it is, its message may hold the key
            failure = self._failure(openai, error, seconds)
        else:
            for value in self._access.values:
                content = content.replace(value.encode(), HIDDEN.encode())
            return response.headers.get("content-type", ""), content
        # Raised here, it has no reference to the request, whose headers hold the key.
        raise failure

    def _failure(self, openai: Any, error: Exception, seconds: float) -> AttemptError:
        access = self._access
        if isinstance(error, openai.APIStatusError):
            # Not error.body: the client leaves out what is beside {"error": …}, such as a code.
            if error.response.has_redirect_location:
                moved = access.reason(error.response.headers["location"])
                reason = f"the server names another address, where nothing is sent: {moved}"
                return AttemptError("not_found", f"HTTP {error.status_code}: {reason}")
            text = access.hidden(error.response.text)
            failure = error_of(error.status_code, _read_body(text), error.response.headers, access.key)
            advice = address_advice(self._settings)
            if advice and failure.kind == "not_found" and "model_not_found" not in text:
                reason = f"{failure.reason.rstrip('.')}. {advice}"
                return AttemptError("not_found", reason, failure.retry_after)
            return failure
        if isinstance(error, openai.APIConnectionError):
            # One transport calls a refused connection a timeout, so the errors behind it decide.
            late = isinstance(error, openai.APITimeoutError)
            kind = kind_of_connection(error, "timeout" if late else "dropped")
            waited = f"no answer within {seconds:g} s"
            return AttemptError(kind, waited if kind == "timeout" else access.reason(_deepest(error)))
        kind = "malformed" if isinstance(error, openai.OpenAIError) else "unexpected"
        return AttemptError(kind, access.reason(f"{type(error).__name__}: {error}"))

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        client, self._client, self._loop = self._client, None, None
        if client is not None:
            await client.close()

    def _opened(self, openai: Any) -> Any:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client, self._loop = self._open(openai), loop
        return self._client

    def _open(self, openai: Any) -> Any:
        settings = self._settings
        web = import_module(_web_module(openai))
        # One connection for each request in flight: the default limits are lower than the concurrency
        # of a run, and requests would wait behind them unnoticed.
        limits = web.Limits(
            max_connections=settings.throttle.concurrency,
            max_keepalive_connections=settings.throttle.concurrency,
            keepalive_expiry=_IDLE_SECONDS,
        )
        trust_env = not is_local(settings.endpoint)  # a proxy is for other machines, never for this one
        client = fast_http(_transport(openai, settings.transport))(
            limits=limits,
            timeout=web.Timeout(settings.timeout, connect=min(_CONNECT_SECONDS, settings.timeout)),
            trust_env=trust_env,
            verify=_certificates(web, trust_env),
        )
        made = fast_client(openai, _LEFT_OUT)(
            api_key=self._access.key or "none",
            base_url=settings.endpoint,
            max_retries=0,
            http_client=client,
        )
        own = self._access.headers
        made.fix_headers(own, is_openai=is_openai(settings.endpoint))
        if not self._access.key and "authorization" not in map(str.lower, own):
            # No "none" instead of a key: a server that expects another header may refuse it.
            self._options = {"idempotency_key": _ONE_ATTEMPT, "headers": {"Authorization": openai.Omit()}}
        return made


def first_model(client: ChatClient, settings: ApiSettings) -> str:
    """The id of the only model that the endpoint serves. Raises ModelError if it serves none, or several."""

    async def ask() -> list[str]:
        try:
            return await client.model_ids()
        finally:
            await client.close()

    try:
        # In a thread of its own, because the caller may be inside an event loop, such as a notebook's.
        with ThreadPoolExecutor(1) as thread:
            ids = thread.submit(asyncio.run, ask()).result()
    except AttemptError as error:
        reason = error.reason
    else:
        if len(ids) == 1:
            return ids[0]
        reason = f"it serves {len(ids)} models{': ' + ', '.join(ids[:8]) if ids else ''}"
    raise ModelError(
        f"If no model is named, {settings.endpoint} must serve exactly one: {reason}.",
        hint="Name it: --set model=<id>.",
    ) from None


@cache
def client_parts() -> tuple[Any, Any]:
    """The openai client, whose import takes a second, and its type of a raw response."""
    import openai

    return openai, import_module(_web_module(openai)).Response


@cache
def _certificates(web: Any, trust_env: bool) -> Any:
    """The trusted certificates of this machine, read once: a client that reads them takes 30 ms to open."""
    return web.create_ssl_context(trust_env=trust_env)


def _web_module(openai: Any) -> str:
    # The client's HTTP library is httpx, or httpx2 in its newer versions; ours must be the same one.
    for kind in openai.DefaultAsyncHttpxClient.__mro__:
        if kind.__name__ == "AsyncClient":
            return str(kind.__module__).partition(".")[0]
    return "httpx"


def _transport(openai: Any, name: str) -> Any:
    kind = getattr(openai, "DefaultAioHttpClient", None)
    has_aiohttp = (
        kind is not None and "Missing" not in kind.__name__ and util.find_spec("aiohttp") is not None
    )
    if name == "aiohttp" and not has_aiohttp:
        raise MissingExtraError("aiohttp", extra="api")
    return kind if has_aiohttp and name != "httpx" else openai.DefaultAsyncHttpxClient


def _read_body(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _deepest(error: BaseException) -> str:
    seen = error
    while (inner := seen.__cause__ or seen.__context__) is not None:
        seen = inner
    return f"{type(seen).__name__}: {seen}" if str(seen) else type(seen).__name__
