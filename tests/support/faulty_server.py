"""A server with an OpenAI-style API on this machine that misbehaves as a test tells it to."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Call:
    """One request as the server saw it; `outcome` is what the server did, `path` has the query too."""

    prompt: str
    images: tuple[bytes, ...]
    body: dict
    headers: dict
    number: int
    in_flight: int
    outcome: str = ""
    path: str = ""
    at: float = field(default_factory=time.monotonic)

    @property
    def name(self):
        """The number of the toy question."""
        return int(re.search(r"Question (\d+)\?", self.prompt)[1])


def true_answer(prompt, images):
    """The answer of this server's model: another text for every prompt and picture."""
    digest = hashlib.sha256(prompt.encode() + b"".join(images)).hexdigest()
    return f"{'ABCD'[int(digest[0], 16) % 4]}. ({digest[:12]})"


def completion(text, finish="stop", **message):
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "toy-1",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": text, **message},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107},
    }


ERRORS = {
    "429": (429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, {}),
    "429 after": (429, {"error": {"message": "slow down"}}, {"Retry-After": "0.1"}),
    "500": (500, {"error": {"message": "oops"}}, {}),
    "503": (503, {"error": {"message": "busy"}}, {}),
    "filter": (400, {"error": {"message": "your picture was blocked", "code": "content_filter"}}, {}),
    "401": (401, {"error": {"message": "wrong key", "code": "invalid_api_key"}}, {}),
    "404": (404, {"error": {"message": "no such model", "code": "model_not_found"}}, {}),
    "quota": (429, {"error": {"message": "no money", "code": "insufficient_quota"}}, {}),
    "400": (400, {"error": {"message": "cannot read the picture"}}, {}),
}


def openai_refusal(name):
    """The error by which OpenAI's reasoning models refuse a setting."""
    if name == "temperature":
        message = "Unsupported value: 'temperature' does not support 0 with this model. "
        message += "Only the default (1) value is supported."
        code = "unsupported_value"
    else:
        message = f"Unsupported parameter: '{name}' is not supported with this model."
        message += " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
        code = "unsupported_parameter"
    return {"message": message, "type": "invalid_request_error", "param": name, "code": code}


def gateway_refusal(name):
    """The same as a gateway passes it on, in a text inside its own error."""
    raw = json.dumps({"error": openai_refusal(name)})
    return {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw, "provider_name": "X"}}


def refusing(*names, form=openai_refusal, otherwise=lambda call: "ok"):
    """A behaviour: requests with one of these settings are refused, the first one first."""

    def behave(call):
        for name in names:
            if name in call.body:
                return 400, {"error": form(name)}
        return otherwise(call)

    return behave


@dataclass(frozen=True)
class Wire:
    """Exactly what is written to a connection: bytes, and pauses in seconds; then it is kept, or ended."""

    parts: tuple
    end: str = "keep"  # or close, half (closed for writing), reset, hold (open and silent)


def response_bytes(body, status="200 OK", length=None, **headers):
    """A response as bytes; `length` replaces that of its body, and no header is sent that is None."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    found = {
        "Content-Type": "application/json",
        "Content-Length": len(data) if length is None else length,
        **named,
    }
    lines = [
        f"HTTP/1.1 {status}",
        *(f"{name}: {value}" for name, value in found.items() if value is not None),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + data


class FaultyServer:
    """Runs in a thread of its own; `behave(call)` names what happens to a call; `batches` is a BatchEndpoint.

    Beside the names in ERRORS: ok, slow, drop, reset, malformed, empty, html, a dict to send, a Wire, or
    (status, body, headers). `limit` is how many requests it takes at once before it answers 429.
    It answers at `base` alone, if that is given; `seen` holds the first line and the headers of each request.
    `port` is a free one unless it is given.
    """

    def __init__(
        self,
        behave=lambda call: "ok",
        *,
        seconds=0.0,
        limit=10_000,
        answer=true_answer,
        tls=None,
        base="",
        port=0,
        batches=None,
    ):
        self.behave, self.seconds, self.limit, self.answer = behave, seconds, limit, answer
        self.batches = batches
        self.calls, self.tls, self.base, self.seen = [], tls, base, []
        self.in_flight = 0
        self.peak = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._writers = set()
        self._port = port

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self._port}/v1"

    @property
    def outcomes(self):
        return Counter(call.outcome for call in self.calls)

    def __enter__(self):
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def go_away(self, seconds):
        """Refuse connections for a while."""

        async def away():
            await self._close()
            await asyncio.sleep(seconds)
            await self._listen()

        asyncio.run_coroutine_threadsafe(away(), self._loop)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    async def _listen(self):
        self._server = await asyncio.start_server(
            self._connection, "127.0.0.1", self._port, limit=2**26, backlog=512, ssl=self.tls
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self):
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connection(self, reader, writer):
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if not await self._respond(head, headers, body, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _respond(self, head, headers, body, writer):
        line = head.partition("\r\n")[0]
        self.seen.append((line, headers))
        if f" {self.base}" not in line:
            return await _send(writer, 404, {"detail": "Not Found"})
        if "/batches" in line or "/files" in line:
            return await self._respond_batch(line, body, writer)
        if head.startswith("GET"):
            return await _send(writer, 200, {"object": "list", "data": [{"id": "toy-1", "object": "model"}]})
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            call = _read_call(json.loads(body), headers, len(self.calls), self.in_flight)
            call.path = head.split(" ")[1]
            self.calls.append(call)
            done = "429" if self.in_flight > self.limit else self.behave(call)
            call.outcome = done if isinstance(done, str) else "own"
            if isinstance(done, tuple):
                call.outcome = str(done[0])
            if done != "429":
                await asyncio.sleep(self.seconds)
            return await self._act(done, call, writer)
        finally:
            self.in_flight -= 1

    async def _respond_batch(self, line, body, writer):
        method, path, _ = line.split(" ")
        if self.batches is None:
            return await _send(writer, 404, {"detail": "Not Found"})

        def complete(asked):
            call = _read_call(asked, {}, len(self.calls), 0)
            return completion(self.answer(call.prompt, call.images))

        response = self.batches.respond(method, path.partition("?")[0], body, complete)
        if response is None:
            writer.transport.abort()
            return False
        return await _send(writer, *response)

    async def _act(self, done, call, writer):
        good = completion(self.answer(call.prompt, call.images))
        if isinstance(done, tuple):
            return await _send(writer, *done)
        if isinstance(done, dict):
            return await _send(writer, 200, done)
        if isinstance(done, Wire):
            return await _write(writer, done)
        if done in ERRORS:
            return await _send(writer, *ERRORS[done])
        if done == "slow":
            await asyncio.sleep(1.5)
        if done == "reset":
            writer.transport.abort()
            return False
        if done == "drop":
            data = json.dumps(good).encode()
            writer.write(_head(200, len(data), {}) + data[:40])
            await writer.drain()
            writer.transport.abort()
            return False
        if done == "malformed":
            return await _send(writer, 200, b'{"choices": [{"mess')
        if done == "empty":
            return await _send(writer, 200, {**good, "choices": []})
        if done == "html":
            return await _send(writer, 200, b"<html>proxy login</html>", {"Content-Type": "text/html"})
        return await _send(writer, 200, good)


def _read_call(body, headers, number, in_flight):
    images, prompt = [], ""
    content = body["messages"][-1]["content"]
    if isinstance(content, str):  # a judge is asked without pictures
        return Call(content, (), body, headers, number, in_flight)
    for part in content:
        if part["type"] == "text":
            prompt = part["text"]
        else:
            images.append(base64.b64decode(part["image_url"]["url"].partition(",")[2]))
    return Call(prompt, tuple(images), body, headers, number, in_flight)


def _head(status, length, headers):
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {length}"]
    lines += [f"{k}: {v}" for k, v in {"Content-Type": "application/json", **headers}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _send(writer, status, body, headers=None):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    writer.write(_head(status, len(data), headers or {}) + data)
    await writer.drain()
    return True


async def _write(writer, wire):
    for part in wire.parts:
        if isinstance(part, bytes):
            writer.write(part)
            await writer.drain()
        else:
            await asyncio.sleep(part)
    if wire.end == "reset":
        writer.transport.abort()
    if wire.end == "half":
        writer.write_eof()
    if wire.end in ("half", "hold"):
        await asyncio.sleep(60)
    return wire.end == "keep"
