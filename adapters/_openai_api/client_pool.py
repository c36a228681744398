"""Pool of clients of one endpoint: helper processes where one thread is slower than the server.

The openai client takes about a millisecond of a core for a request, so that one thread reaches a
thousand requests a second at most, and fewer beside the rest of a run. The load of the thread is measured
while it asks, and helpers are started only if it is the bottleneck. Throttle, budget, retries and the
store stay in this process: a helper gets one request at a time, sends it once and returns the result.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmdbench.models.failures import AttemptError
from mmdbench.records import Outcome
from mmdbench.system.processes import (
    MessageWriter,
    available_cpus,
    child_command,
    child_environment,
    message_bytes,
    read_message_async,
)
from mmdbench.system.stop_signals import ignore_stop_signals

from .access import read_access
from .chat_client import ChatClient, client_parts
from .settings import ApiSettings

__all__ = ["ClientPool", "useful_helpers"]

_LOOKED_AT = 64
_LEAST_SECONDS = 0.25
_BUSY = 0.8
_MOST_HELPERS = 4
_LEAST_CONCURRENCY = 16
_TOGETHER = 4
_BUFFER = 1 << 22
_SECONDS_TO_END = 5.0

Result = Outcome | tuple[str, str, float | None, str]
"""An outcome, or the kind, reason, Retry-After (seconds) and refused parameter of an AttemptError."""


class ClientPool:
    """Sends chat completions to one endpoint, from this process or from helper processes."""

    def __init__(self, settings: ApiSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._here = ChatClient(settings, read_access(settings, name))
        self._helpers: list[_HelperProcess] = []
        self._starting: asyncio.Task[None] | None = None
        self._load = _ThreadLoad()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"ClientPool({self._settings.endpoint}, {len(self._helpers)} helpers)"

    async def complete(self, body: Mapping[str, Any]) -> Outcome:
        """Send a request once. Raises AttemptError, which never holds the key."""
        if self._loop is not asyncio.get_running_loop():
            self._leave_loop()
        self._consider()
        helpers = [helper for helper in self._helpers if helper.alive]
        if not helpers:
            return await self._here.complete(body)
        return await min(helpers, key=lambda helper: len(helper.waiting)).complete(body)

    async def close(self) -> None:
        """Close connections and helpers; the next request opens new ones."""
        if self._loop is not asyncio.get_running_loop():
            self._leave_loop()
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        helpers, self._helpers = self._helpers, []
        self._load = _ThreadLoad()
        await asyncio.gather(self._here.close(), *(helper.close() for helper in helpers))

    def _leave_loop(self) -> None:
        """Start again in another event loop; of the one before only processes are left, which are killed."""
        for helper in self._helpers:
            helper.kill()
        self._helpers, self._starting, self._load = [], None, _ThreadLoad()
        self._loop = asyncio.get_running_loop()

    def _consider(self) -> None:
        if self._starting is not None:
            return
        wanted = self._settings.processes
        if wanted == 0 and self._load.is_full():
            wanted = useful_helpers(self._settings.throttle.concurrency, available_cpus())
        if wanted > 1:
            self._starting = asyncio.create_task(self._start(wanted))

    async def _start(self, count: int) -> None:
        # Until they are ready, this process asks.
        self._helpers = [_HelperProcess() for _ in range(count)]
        starts = (helper.start(self._settings, self._name) for helper in self._helpers)
        failed = [error for error in await asyncio.gather(*starts, return_exceptions=True) if error]
        if failed:
            logging.getLogger("mmdbench").warning(
                "%d of %d processes to ask %s from did not start (%s); requests are sent without them. "
                "--set processes=1 starts none.",
                len(failed),
                count,
                self._settings.endpoint,
                failed[0],
            )


def useful_helpers(concurrency: int, cores: int) -> int:
    """The number of helpers to start where one thread is not enough; 0 where they would not help."""
    if cores < 2 or concurrency < _LEAST_CONCURRENCY or os.name != "posix":
        return 0
    return min(cores, _MOST_HELPERS)


@dataclass
class _ThreadLoad:
    """Load of the asking thread, from its processor time; measured once in many requests."""

    requests: int = 0
    since: tuple[float, float] | None = None

    def is_full(self) -> bool:
        """True if this thread had almost no time left since the last measurement."""
        self.requests += 1
        if self.requests % _LOOKED_AT:
            return False
        wall, busy = time.perf_counter(), time.thread_time()
        if self.since is None:
            self.since = (wall, busy)
            return False
        passed = wall - self.since[0]
        if passed < _LEAST_SECONDS:
            return False
        share = (busy - self.since[1]) / passed
        self.since = (wall, busy)
        return share > _BUSY


@dataclass
class _HelperProcess:
    """A process that sends requests, and the requests that it has not answered."""

    alive: bool = False
    waiting: dict[int, asyncio.Future[Result]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: asyncio.WriteTransport | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._unsent: list[tuple[int, Mapping[str, Any] | None]] = []
        self._number = 0

    @property
    def pid(self) -> int:
        """The id of the process; 0 before it is started."""
        return self._process.pid if self._process is not None else 0

    async def start(self, settings: ApiSettings, name: str) -> None:
        """Start the process and wait until it is ready; it reads its key from its environment."""
        # In a session of its own Ctrl-C in a terminal does not reach it: its replies are still wanted.
        # asyncio's own way to start a process never ends if its loop is closed in the meantime.
        self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - as above; our own interpreter, our own code
            child_command(__name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment(),
            start_new_session=True,
        )
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=_BUFFER)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), self._process.stdout)
        self._pipe, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, self._process.stdin)
        self._pipe.write(message_bytes(settings, name))
        if await read_message_async(reader) is None:
            raise ChildProcessError("it exited at its start")
        self.alive = True
        self._receiving = asyncio.create_task(self._receive(reader))

    async def complete(self, body: Mapping[str, Any]) -> Outcome:
        """Let the process send a request; if it exits before it answers, that is a dropped connection."""
        self._number += 1
        number, future = self._number, asyncio.get_running_loop().create_future()
        self.waiting[number] = future
        self._enqueue(number, body)
        try:
            result = await future
        except asyncio.CancelledError:
            self._enqueue(number, None)
            raise
        finally:
            self.waiting.pop(number, None)
        if isinstance(result, Outcome):
            return result
        raise AttemptError(*result)

    async def close(self) -> None:
        """End the process: it exits when its input ends, and is killed if it is still starting or hangs."""
        patience = _SECONDS_TO_END if self.alive else 0.0
        if self._receiving is not None:
            self._receiving.cancel()
            await asyncio.gather(self._receiving, return_exceptions=True)
        self._fail_waiting()
        if self._pipe is not None:
            self._pipe.close()
        if self._process is None:
            return
        try:
            await asyncio.to_thread(self._process.wait, patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _enqueue(self, number: int, body: Mapping[str, Any] | None) -> None:
        if not self._unsent:
            # Several requests in one message: each message wakes the other process.
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append((number, body))
        if len(self._unsent) >= _TOGETHER:
            self._send()

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        if unsent and self.alive and self._pipe is not None:
            self._pipe.write(message_bytes(*unsent))

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        try:
            while (message := await read_message_async(reader)) is not None:
                for number, result in message:
                    future = self.waiting.get(number)
                    if future is not None and not future.done():
                        future.set_result(result)
        finally:
            self._fail_waiting()

    def _fail_waiting(self) -> None:
        self.alive = False
        for future in self.waiting.values():
            if not future.done():
                future.set_result(("dropped", "the process that sent it exited", None, ""))


def main() -> None:
    """Send the requests that the parent process gives, until it closes this process's input."""
    ignore_stop_signals()
    writer = MessageWriter(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # printed text must not get between the messages
    asyncio.run(_serve(writer))


async def _serve(writer: MessageWriter) -> None:
    reader = asyncio.StreamReader(limit=_BUFFER)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    opening = await read_message_async(reader)
    if opening is None:
        return
    settings, name = opening
    client = ChatClient(settings, read_access(settings, name))
    client_parts()
    # The imports of the client stay until this process exits: there is no garbage among them.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    with contextlib.suppress(OSError):  # the parent process may have exited already
        writer.send("ready")
    results = _ResultQueue(writer)
    running: dict[int, asyncio.Task[None]] = {}

    async def ask(number: int, body: Mapping[str, Any]) -> None:
        try:
            results.add(number, await _result(client, body))
        finally:
            running.pop(number, None)

    while (message := await read_message_async(reader)) is not None:
        for number, body in message:
            if body is not None:
                running[number] = loop.create_task(ask(number, body))
            elif number in running:  # the parent process has cancelled it
                running[number].cancel()
    os._exit(0)  # the results of requests in flight have no reader any more


async def _result(client: ChatClient, body: Mapping[str, Any]) -> Result:
    try:
        return await client.complete(body)
    except AttemptError as error:
        return error.kind, error.reason, error.retry_after, error.parameter
    except Exception as error:  # noqa: BLE001 - without a result the parent process would wait for ever
        return "unexpected", type(error).__name__, None, ""


class _ResultQueue:
    """Queue of results for the parent process, several of which are sent in one message."""

    def __init__(self, writer: MessageWriter) -> None:
        self._writer = writer
        self._unsent: list[tuple[int, Result]] = []

    def add(self, number: int, result: Result) -> None:
        """Send the result of a request, together with those that come at the same time."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append((number, result))
        if len(self._unsent) >= _TOGETHER:
            self._send()

    def _send(self) -> None:
        if not self._unsent:
            return
        try:
            self._writer.send(*self._unsent)
        except OSError:
            os._exit(1)  # the parent process has exited
        self._unsent.clear()
