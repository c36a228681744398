"""Client of one endpoint: the openai client with explicit limits, and one attempt for each request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from importlib import import_module, util
from typing import Any

from mmdbench.errors import MissingExtraError, ModelError
from mmdbench.models.endpoints import is_local
from mmdbench.models.failures import AttemptError, error_of, kind_of_connection, short_reason
from mmdbench.records import Outcome

from .fast_client import fast_client, fast_http
from .response import outcome_of
from .settings import ApiSettings

__all__ = ["ChatClient", "client_parts", "first_model"]

_OPENAI = "https://api.openai.com/"
_IDLE_SECONDS = 30.0
_CONNECT_SECONDS = 20.0
# The client would draw a number for each request, to know its own second attempts by; it makes none.
_ONE_ATTEMPT = "one attempt"
# Facts about this machine that the client would send with every request: they cost time and are private.
_LEFT_OUT = tuple(
    f"X-Stainless-{name}"
    for name in ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
)


class ChatClient:
    """Sends chat completions to one endpoint; its connections belong to the event loop that first uses it."""

    def __init__(self, settings: ApiSettings, key: str) -> None:
        if util.find_spec("openai") is None:
            raise MissingExtraError("The openai client", extra="api")
        self._settings = settings
        self._key = key
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"ChatClient({self._settings.endpoint})"

    async def complete(self, body: Mapping[str, Any]) -> Outcome:
        """Send a request once. Raises AttemptError, which never holds the key."""
        openai, response_type = client_parts()
        client = self._opened(openai)
        try:
            response = await client.post(
                f"{self._settings.endpoint}/chat/completions",
                body=body,
                cast_to=response_type,
                options={"idempotency_key": _ONE_ATTEMPT},
            )
            content = await response.aread()
        except openai.APIStatusError as error:
            # Not error.body: the client leaves out what is beside {"error": …}, such as a code.
            failure = error_of(error.status_code, _body(error), error.response.headers, self._key)
        except openai.APIConnectionError as error:
            # One transport calls a refused connection a timeout, so the errors behind it decide.
            late = isinstance(error, openai.APITimeoutError)
            kind = kind_of_connection(error, "timeout" if late else "dropped")
            waited = f"no answer within {self._settings.timeout:g} s"
            failure = AttemptError(
                kind, waited if kind == "timeout" else short_reason(_deepest(error), self._key)
            )
        except openai.OpenAIError as error:
            failure = AttemptError("malformed", short_reason(f"{type(error).__name__}: {error}", self._key))
        except Exception as error:  # noqa: BLE001 - whatever it is, its message may hold the key
            failure = AttemptError("unexpected", short_reason(f"{type(error).__name__}: {error}", self._key))
        else:
            return outcome_of(response.headers.get("content-type", ""), content, self._key)
        # Raised here, it has no reference to the request, whose headers hold the key.
        raise failure

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
            api_key=self._key or "none",
            base_url=settings.endpoint,
            max_retries=0,
            http_client=client,
        )
        if not settings.endpoint.startswith(_OPENAI):
            # The client takes these from the environment; other servers must not see them.
            made.organization = made.project = None
        made.fix_headers()
        return made


def first_model(settings: ApiSettings, key: str) -> str:
    """The id of the only model that the endpoint serves. Raises ModelError if it serves none, or several."""
    import openai

    client = openai.OpenAI(
        api_key=key or "none", base_url=settings.endpoint, max_retries=1, timeout=_CONNECT_SECONDS
    )
    try:
        with client:
            ids = sorted(model.id for model in client.models.list())
    except openai.OpenAIError as error:
        reason = short_reason(_deepest(error), key)
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


def _body(error: Any) -> object:
    try:
        return error.response.json()
    except (ValueError, RecursionError):
        return str(error.response.text)


def _deepest(error: BaseException) -> str:
    seen = error
    while (inner := seen.__cause__ or seen.__context__) is not None:
        seen = inner
    return f"{type(seen).__name__}: {seen}" if str(seen) else type(seen).__name__
