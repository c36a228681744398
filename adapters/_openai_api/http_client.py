"""HTTP client for asking: requests over aiohttp, bounded in time and in size, on clean connections only."""

from __future__ import annotations

import io
import ssl
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from mmdbench.errors import ModelError
from mmdbench.models.endpoints import is_local
from mmdbench.models.failures import AttemptError

from .response import reply_too_large

__all__ = ["HttpClient", "HttpResponse", "decompressed", "is_of_connection"]

_IDLE_SECONDS = 30.0
_CONNECT_SECONDS = 20.0
_LONGEST_HEADER_BYTES = 65_536
# Larger bodies are sent in pieces: aiohttp warns that one write of them holds up the event loop.
_ONE_WRITE_BYTES = 2**20


@dataclass(frozen=True)
class HttpResponse:
    """A response that was read whole; `mistrust` lets its connection carry no other request."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    connection: Any

    def mistrust(self) -> None:
        """Close the connection before its next request: something was wrong with this response."""
        self.connection.force_close()


class HttpClient:
    """Client of one server; its connections belong to the event loop that makes it.

    Args:
        endpoint: The address of the server, which decides on a proxy.
        concurrency: The most connections at once.
        most_bytes: The largest body of a response, compressed or not.
    """

    def __init__(self, endpoint: str, concurrency: int, most_bytes: int) -> None:
        aiohttp: Any = import_module("aiohttp")
        self._most_bytes = most_bytes
        self._proxy = _proxy(endpoint)
        secure = urlsplit(endpoint).scheme == "https"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=concurrency, keepalive_timeout=_IDLE_SECONDS, ssl=_certificates() if secure else True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_clean_request(),
            auto_decompress=False,
            max_line_size=_LONGEST_HEADER_BYTES,
            max_field_size=_LONGEST_HEADER_BYTES,
        )
        self._timeout = aiohttp.ClientTimeout
        self._tries = concurrency + 1

    async def send(
        self, method: str, address: str, headers: Mapping[str, str], body: bytes | None, seconds: float
    ) -> HttpResponse:
        """Send a request once and read the whole response; redirects are not followed.

        Args:
            method: GET or POST.
            address: The address.
            headers: All headers that are sent, beside those of the connection.
            body: The body; None sends none.
            seconds: The longest time from the start to the last byte of the response.

        Returns:
            The response.

        Raises:
            AttemptError: The response is too large, or compressed in a way that was not asked for.
            Exception: Those of aiohttp, whose texts may hold the headers.
        """
        for _ in range(self._tries):
            try:
                return await self._send(method, address, headers, body, seconds)
            except _uncleanness():  # nothing was sent: each try closes one connection
                continue
        raise AttemptError("dropped", "the server sends responses that nothing asked for")

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _send(
        self, method: str, address: str, headers: Mapping[str, str], body: bytes | None, seconds: float
    ) -> HttpResponse:
        timeout = self._timeout(
            total=seconds, sock_connect=min(_CONNECT_SECONDS, seconds), ceil_threshold=float("inf")
        )
        whole = body is None or len(body) < _ONE_WRITE_BYTES
        async with self._session.request(
            method,
            address,
            headers=headers,
            data=body if whole else io.BytesIO(body or b""),
            timeout=timeout,
            allow_redirects=False,
            proxy=self._proxy,
        ) as response:
            content = await self._read(response)
            return HttpResponse(response.status, response.headers, content, response.carried_by)

    async def _read(self, response: Any) -> bytes:
        parts, size = [], 0
        while part := await response.content.readany():
            size += len(part)
            if size > self._most_bytes:
                response.close()
                raise reply_too_large(self._most_bytes / 1e6)
            parts.append(part)
        try:
            return decompressed(
                b"".join(parts), response.headers.get("Content-Encoding", ""), self._most_bytes
            )
        except AttemptError:
            response.carried_by.force_close()
            raise


def decompressed(content: bytes, encoding: str, most_bytes: int) -> bytes:
    """The body of a response without its compression, which no request asks for.

    Args:
        content: The body.
        encoding: The response's Content-Encoding.
        most_bytes: The largest result.

    Returns:
        The body.

    Raises:
        AttemptError: The result is too large, the data are damaged, or the encoding is not gzip or deflate.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return content
    if name not in ("gzip", "x-gzip", "deflate"):
        raise AttemptError(
            "malformed", f"the answer is compressed as {encoding[:40]!r}, without being asked to"
        )
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, as the data begin
    try:
        found = reader.decompress(content, most_bytes + 1)
    except zlib.error as error:
        raise AttemptError("malformed", f"the answer's compression is damaged: {error}") from None
    if len(found) > most_bytes:
        raise reply_too_large(most_bytes / 1e6)
    if not reader.eof:
        raise AttemptError("malformed", "the answer's compression is damaged: it ends too early")
    return found


def is_of_connection(error: Exception) -> bool:
    """True for an error of the connection or of its protocol, as `HttpClient.send` raises them."""
    aiohttp: Any = import_module("aiohttp")
    return isinstance(error, aiohttp.ClientError | aiohttp.http.HttpProcessingError | OSError)


@cache
def _uncleanness() -> type[Exception]:
    aiohttp: Any = import_module("aiohttp")

    class UncleanConnectionError(aiohttp.ClientConnectionError):  # type: ignore[misc]  # an Any
        """A connection has bytes that no request asked for, or its last response was wrong."""

    return UncleanConnectionError


@cache
def _clean_request() -> Any:
    """A class of requests that are only sent over a connection with nothing left of another one.

    aiohttp itself would take bytes that came while a connection was idle for the next response.
    """
    aiohttp: Any = import_module("aiohttp")

    class CleanRequest(aiohttp.ClientRequest):  # type: ignore[misc]  # an Any
        async def send(self, conn: Any) -> Any:
            if conn.protocol.should_close:
                raise _uncleanness()("the connection is not clean")
            response = await super().send(conn)
            response.carried_by = conn.protocol
            return response

    return CleanRequest


@cache
def _certificates() -> ssl.SSLContext:
    """The trusted certificates of this machine, read once."""
    if sys.platform in ("darwin", "win32"):  # OpenSSL knows none of the system's there
        try:
            return import_module("truststore").SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # type: ignore[no-any-return]
        except ImportError:
            pass
    return ssl.create_default_context()


def _proxy(endpoint: str) -> str | None:
    """The address of the proxy of the environment for a server; None for one on this machine."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if is_local(endpoint) or proxy_bypass(f"{host}:{parts.port}" if parts.port else host):
        return None
    proxies = getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all") or ""
    if not address:
        return None
    proxy = urlsplit(address if "://" in address else f"http://{address}")
    if proxy.scheme not in ("http", "https"):
        raise ModelError(
            f"The proxy for {host} in the environment must be one of http or https, got {proxy.scheme!r}.",
            hint=f"Set {parts.scheme.upper()}_PROXY to a proxy of HTTP, or NO_PROXY={host}.",
        )
    return proxy.geturl()
