"""Client of one endpoint: one attempt for each chat completion, with explicit limits."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import secrets
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import util
from urllib.parse import urljoin, urlsplit

from mmdbench import __version__
from mmdbench.errors import MissingExtraError, ModelError
from mmdbench.models.failures import AttemptError, error_of, kind_of_connection
from mmdbench.records import Outcome
from mmdbench.system.secrets import HIDDEN

from .access import Access, address_advice
from .http_client import HttpClient, HttpResponse, is_of_connection
from .response import outcome_of
from .settings import ApiSettings

__all__ = ["ChatClient", "deepest", "first_model", "status_failure"]

_LOOK_UP_SECONDS = 20.0
_MOST_REDIRECTS = 3
_OWN_NAME = "mmdbench-"
_NAMED = re.compile(rf"{_OWN_NAME}([0-9a-f]{{8}})-")
_ID = re.compile(rb'"id"\s*:\s*"([^"]*)"')
_numbers = itertools.count()
_process = secrets.token_hex(4)


class ChatClient:
    """Sends chat completions to one endpoint; its connections belong to the event loop that first uses it."""

    def __init__(self, settings: ApiSettings, access: Access) -> None:
        if util.find_spec("aiohttp") is None:
            raise MissingExtraError("aiohttp", extra="api")
        self._settings = settings
        self._access = access
        self._headers = _headers(access)
        self._client: HttpClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"ChatClient({self._settings.endpoint})"

    async def complete(self, body: bytes, seconds: float) -> Outcome:
        """Send a request once, for so many seconds at most.

        Raises AttemptError, which holds no key and no value of a header.
        """
        response = await self._send("chat/completions", seconds, body)
        try:
            return outcome_of(
                response.headers.get("Content-Type", ""), self._hidden(response), self._access.key
            )
        except AttemptError as error:
            if error.rule.action == "retry":
                response.mistrust()
            raise

    async def model_ids(self) -> list[str]:
        """The ids of the models that the endpoint serves, sorted. Raises AttemptError."""
        response = await self._send("models", min(_LOOK_UP_SECONDS, self._settings.timeout))
        try:
            return sorted(str(model["id"]) for model in json.loads(self._hidden(response))["data"])
        except (KeyError, TypeError, ValueError) as error:
            reason = self._access.reason(repr(error))
        raise AttemptError("malformed", f"its list of models has another form: {reason}")

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        client, self._client, self._loop = self._client, None, None
        if client is not None:
            await client.close()

    async def _send(self, path: str, seconds: float, body: bytes | None = None) -> HttpResponse:
        """A response with a status of success; without a `body` the request is a GET."""
        address, clock = self._settings.address(path), asyncio.get_running_loop().time
        ends = clock() + seconds
        for _ in range(_MOST_REDIRECTS + 1):
            response = await self._attempt(address, body, max(0.001, ends - clock()))
            moved = _moved(address, response)
            if not moved:
                break
            address = moved
        if 200 <= response.status < 300:
            return response
        response.mistrust()
        text = self._access.hidden(response.content.decode("utf-8", "replace"))
        raise status_failure(response.status, text, response.headers, self._access, self._settings)

    async def _attempt(self, address: str, body: bytes | None, seconds: float) -> HttpResponse:
        name = f"{_OWN_NAME}{zlib.crc32(body or b''):08x}-{_process}{next(_numbers):x}"
        method = "GET" if body is None else "POST"
        client = self._opened()
        try:
            response = await client.send(method, address, self._headers_of(name), body, seconds)
        except AttemptError as error:
            failure = AttemptError(error.kind, error.reason)
        except Exception as error:  # noqa: BLE001 - whatever it is, its message may hold the key
            failure = self._failure(error)
        else:
            if _is_answer_to(response, name):
                return response
            response.mistrust()
            failure = AttemptError("mixed_up", "the answer is one to another request")
        # Raised here, it has no reference to the request, whose headers hold the key.
        raise failure

    def _failure(self, error: Exception) -> AttemptError:
        late = isinstance(error, asyncio.TimeoutError)
        kind = kind_of_connection(error, "timeout" if late else "dropped")
        if kind == "timeout":
            return AttemptError(kind, f"no answer within {self._settings.timeout:g} s")
        if not is_of_connection(error):
            kind = "unexpected"
        return AttemptError(kind, self._access.reason(deepest(error)))

    def _headers_of(self, name: str) -> dict[str, str]:
        return {"X-Request-Id": name, **self._headers}

    def _opened(self) -> HttpClient:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            settings = self._settings
            self._client = HttpClient(
                settings.endpoint, settings.throttle.concurrency, round(settings.reply_mb * 1e6)
            )
            self._loop = loop
        return self._client

    def _hidden(self, response: HttpResponse) -> bytes:
        content = response.content
        for value in self._access.values:
            content = content.replace(value.encode(), HIDDEN.encode())
        return content


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


def status_failure(
    status: int, text: str, headers: Mapping[str, str], access: Access, settings: ApiSettings
) -> AttemptError:
    """The failure behind a response of an endpoint that is no success.

    Args:
        status: Its HTTP status.
        text: Its body, without the values of headers.
        headers: Its headers.
        access: The key of the endpoint.
        settings: The settings of the endpoint.

    Returns:
        The error to raise, with advice if the address may be wrong.
    """
    if 300 <= status < 400 and "Location" in headers:
        moved = access.reason(str(headers["Location"]))
        said = "the server names another address, where nothing is sent"
        return AttemptError("not_found", f"HTTP {status}: {said}: {moved}")
    failure = error_of(status, _read_body(text), headers, access.key)
    advice = address_advice(settings)
    if advice and failure.kind == "not_found" and "model_not_found" not in text:
        reason = f"{failure.reason.rstrip('.')}. {advice}"
        return AttemptError("not_found", reason, failure.retry_after)
    return failure


def _read_body(text: str) -> object:
    """The JSON of a body, or the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _headers(access: Access) -> dict[str, str]:
    """The headers of each request; those of the card replace others."""
    own = {
        "Accept": "application/json",
        # A compressed answer could be of any size, and answers are short.
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": f"mmdbench/{__version__}",
        **({"Authorization": f"Bearer {access.key}"} if access.key else {}),
    }
    tables = (own, access.of_openai, access.headers)
    return dict({name.lower(): (name, value) for table in tables for name, value in table.items()}.values())


def _moved(address: str, response: HttpResponse) -> str:
    """The address to which a request is redirected as it is, on the same server; empty if it is not."""
    if response.status not in (307, 308):
        return ""
    try:
        target = urljoin(address, response.headers.get("Location", ""))
        return target if urlsplit(target)[:2] == urlsplit(address)[:2] else ""
    except ValueError:
        return ""


def _is_answer_to(response: HttpResponse, name: str) -> bool:
    """False if a response repeats the name of a request with another body; most servers repeat none."""
    found = _ID.search(response.content[:4096])
    repeated = [
        response.headers.get("X-Request-Id", ""),
        found[1].decode("utf-8", "replace") if found else "",
    ]
    bodies = [match[1] for match in map(_NAMED.search, repeated) if match]
    return all(name.startswith(f"{_OWN_NAME}{body}-") for body in bodies)


def deepest(error: BaseException) -> str:
    """The error that others were raised from, with its type."""
    seen = error
    while (inner := seen.__cause__ or seen.__context__) is not None:
        seen = inner
    return f"{type(seen).__name__}: {seen}" if str(seen) else type(seen).__name__
