"""One endpoint asked by several processes, where one thread alone cannot ask as fast as the server answers.

The openai client takes about a millisecond of a core for a request, so that one thread reaches a
thousand requests a second at most, and less beside what the runner does. Whether that is the bottleneck
is measured while it asks; only then are helpers started, each of which talks as this process would.
Throttle, budget, retries and the store stay where they are: a helper is given one request at a time
to send once, and gives back what came of it.
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
    child_command,
    child_environment,
    message_bytes,
    read_message_async,
)

from .settings import Settings, read_key
from .talking import Talker

__all__ = ["Spread", "helpers_worth"]

_LOOKED_AT = 64
_LEAST_SECONDS = 0.25
_BUSY = 0.8
_MOST_HELPERS = 4
_LEAST_CONCURRENCY = 16
_TOGETHER = 4
_BUFFER = 1 << 22
_SECONDS_TO_END = 5.0

Result = Outcome | tuple[str, str, float | None]
"""An outcome, or the kind, reason and Retry-After (seconds) of an AttemptError."""


class Spread:
    """Sends chat completions to one endpoint, from this process or from helpers beside it."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._here = Talker(settings, read_key(settings, name))
        self._helpers: list[_Helper] = []
        self._starting: asyncio.Task[None] | None = None
        self._load = _Load()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"Spread({self._settings.endpoint}, {len(self._helpers)} helpers)"

    async def complete(self, body: Mapping[str, Any]) -> Outcome:
        """Send one request, once; AttemptError says what kind of failure it was, and never holds the key."""
        if self._loop is not asyncio.get_running_loop():
            self._leave_loop()
        self._consider()
        helpers = [helper for helper in self._helpers if helper.alive]
        if not helpers:
            return await self._here.complete(body)
        return await min(helpers, key=lambda helper: len(helper.waiting)).complete(body)

    async def close(self) -> None:
        """End connections and helpers; the next request opens new ones."""
        if self._loop is not asyncio.get_running_loop():
            self._leave_loop()
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        helpers, self._helpers = self._helpers, []
        self._load = _Load()
        await asyncio.gather(self._here.close(), *(helper.close() for helper in helpers))

    def _leave_loop(self) -> None:
        """Begin in another event loop: what belonged to the one before ended with it, but for processes."""
        for helper in self._helpers:
            helper.kill()
        self._helpers, self._starting, self._load = [], None, _Load()
        self._loop = asyncio.get_running_loop()

    def _consider(self) -> None:
        if self._starting is not None:
            return
        wanted = self._settings.processes
        if wanted == 0 and self._load.is_full():
            wanted = helpers_worth(self._settings.throttle.concurrency, _cores())
        if wanted > 1:
            self._starting = asyncio.create_task(self._start(wanted))

    async def _start(self, count: int) -> None:
        # Until they are ready, this process goes on asking.
        self._helpers = [_Helper() for _ in range(count)]
        starts = (helper.start(self._settings, self._name) for helper in self._helpers)
        failed = [error for error in await asyncio.gather(*starts, return_exceptions=True) if error]
        if failed:
            logging.getLogger("mmdbench").warning(
                "%d of %d processes to ask %s from did not start (%s); the others go on, or this one alone. "
                "With --set processes=1 none is tried.",
                len(failed),
                count,
                self._settings.endpoint,
                failed[0],
            )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def helpers_worth(concurrency: int, cores: int) -> int:
    """How many helpers are worth starting where one thread is not enough: 0 where they could not help."""
    if cores < 2 or concurrency < _LEAST_CONCURRENCY or os.name != "posix":
        return 0
    return min(cores, _MOST_HELPERS)


@dataclass
class _Load:
    """How busy the asking thread is, from its processor time; looked at once in many requests."""

    requests: int = 0
    since: tuple[float, float] | None = None

    def is_full(self) -> bool:
        """Whether this thread had next to no time left since it was last looked at."""
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
class _Helper:
    """A process that asks, and the requests that it has not answered."""

    alive: bool = False
    waiting: dict[int, asyncio.Future[Result]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: asyncio.WriteTransport | None = None
        self._listening: asyncio.Task[None] | None = None
        self._unsent: list[tuple[int, Mapping[str, Any] | None]] = []
        self._number = 0

    @property
    def pid(self) -> int:
        """The id of its process; 0 before it has one."""
        return self._process.pid if self._process is not None else 0

    async def start(self, settings: Settings, name: str) -> None:
        """Start the process and wait until it can ask; its key is in its environment, as ours is in ours."""
        # In a session of its own, Ctrl-C in a terminal does not reach it: what it asks is still worth having.
        # asyncio's own way to start a process never ends if its loop is ended meanwhile.
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
            raise ChildProcessError("it ended as it started")
        self.alive = True
        self._listening = asyncio.create_task(self._listen(reader))

    async def complete(self, body: Mapping[str, Any]) -> Outcome:
        """Let the process send a request; if it ends before it answered, that is a connection that broke."""
        self._number += 1
        number, future = self._number, asyncio.get_running_loop().create_future()
        self.waiting[number] = future
        self._tell(number, body)
        try:
            result = await future
        except asyncio.CancelledError:
            self._tell(number, None)
            raise
        finally:
            self.waiting.pop(number, None)
        if isinstance(result, Outcome):
            return result
        raise AttemptError(*result)

    async def close(self) -> None:
        """End the process: by itself when nothing is left to read, by force if it still starts or hangs."""
        patience = _SECONDS_TO_END if self.alive else 0.0
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        self._lose()
        if self._pipe is not None:
            self._pipe.close()
        if self._process is None:
            return
        try:
            await asyncio.to_thread(self._process.wait, patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process by force."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _tell(self, number: int, body: Mapping[str, Any] | None) -> None:
        if not self._unsent:
            # A few at once: each message wakes the other side.
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append((number, body))
        if len(self._unsent) >= _TOGETHER:
            self._send()

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        if unsent and self.alive and self._pipe is not None:
            self._pipe.write(message_bytes(*unsent))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while (message := await read_message_async(reader)) is not None:
                for number, result in message:
                    future = self.waiting.get(number)
                    if future is not None and not future.done():
                        future.set_result(result)
        finally:
            self._lose()

    def _lose(self) -> None:
        self.alive = False
        for future in self.waiting.values():
            if not future.done():
                future.set_result(("dropped", "the process that asked ended", None))


def main() -> None:
    """Ask what the process that started this one gives, until it is gone."""
    answers = MessageWriter(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever is printed must not get between the messages
    asyncio.run(_ask_for(answers))


async def _ask_for(answers: MessageWriter) -> None:
    reader = asyncio.StreamReader(limit=_BUFFER)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    opening = await read_message_async(reader)
    if opening is None:
        return
    settings, name = opening
    talker = Talker(settings, read_key(settings, name))
    talker.prepare()
    # What the client imports lives as long as this process: nothing of it is ever garbage.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    with contextlib.suppress(OSError):  # whoever started this process may be gone already
        answers.send("ready")
    unsent: list[tuple[int, Result]] = []
    running: dict[int, asyncio.Task[None]] = {}

    def send() -> None:
        if not unsent:
            return
        try:
            answers.send(*unsent)
        except OSError:
            os._exit(1)  # nobody is there to take an answer
        unsent.clear()

    async def ask(number: int, body: Mapping[str, Any]) -> None:
        result: Result
        try:
            result = await talker.complete(body)
        except AttemptError as error:
            result = (error.kind, error.reason, error.retry_after)
        except Exception as error:  # noqa: BLE001 - without an answer the other side would wait for ever
            result = ("unexpected", type(error).__name__, None)
        finally:
            running.pop(number, None)
        if not unsent:
            loop.call_soon(send)
        unsent.append((number, result))
        if len(unsent) >= _TOGETHER:
            send()

    while (message := await read_message_async(reader)) is not None:
        for number, body in message:
            if body is not None:
                running[number] = loop.create_task(ask(number, body))
            elif number in running:  # whoever asked does not want it any more
                running[number].cancel()
    os._exit(0)  # what is under way now has nobody to be told of
