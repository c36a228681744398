"""A server of a model that runs only as long as it is used: started by a command, waited for, ended."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from mmdbench.errors import ModelError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.models.endpoints import SERVED_BY, is_local
from mmdbench.system.bounds import require_above
from mmdbench.system.digest import bytes_digest
from mmdbench.system.secrets import hide_in_options, hide_secrets

__all__ = ["LocalServer"]

_PORT = "{port}"
_LINES, _LINE_CHARACTERS = 12, 300
_GRACE_SECONDS = 20.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds between two questions whether it answers
_WATCH = """
import os, signal, sys
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
sys.stdin.read()
os.killpg(int(sys.argv[1]), signal.SIGKILL)
"""
"""A program that kills a group of processes when its standard input ends, however our process ended."""


class LocalServer:
    """A command that serves a card's model on this machine; a context manager, at whose end it is ended.

    `{port}` in the command is replaced by a free port, and `card` is then asked there. It is one server for
    every run with the same command, whatever the port: the card's `served_by` is a digest of the command.
    """

    def __init__(self, command: str, card: ModelCard, minutes: float) -> None:
        """A server that is not started yet.

        Args:
            command: The command, as a shell reads it. No shell runs it.
            card: A card whose endpoint is on this machine.
            minutes: The longest time that it may take until it answers.

        Raises:
            UsageError: The command cannot be read, or the card's endpoint is elsewhere.
        """
        require_above("--serve-minutes", minutes, 0)
        if not is_local(card.endpoint):
            raise UsageError(
                f"--serve starts a server on this machine, and {card.name!r} is not asked here.",
                hint="Use a card such as vllm:<model>, sglang:<model> or transformers-serve:<model>.",
            )
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise UsageError(f"--serve {command!r} cannot be read: {error}.") from error
        if hide_in_options(command) != command:
            raise UsageError(
                "--serve must hold no key: others could read it.",
                hint="Put it into the environment, where the server reads it; vLLM's is VLLM_API_KEY.",
            )
        if not self._words:
            raise UsageError(
                "--serve needs a command.", hint='Write --serve "vllm serve MODEL --port {port}".'
            )
        options = {SERVED_BY: f"serve-{bytes_digest(command.encode())[:8]}", **card.options}
        self.card = replace(card, options=options)
        self._seconds = minutes * 60
        self._process: subprocess.Popen[bytes] | None = None
        self._watching = ExitStack()
        self._log = Path(os.devnull)
        self._say: Callable[[str], None] = print
        if any(_PORT in word for word in self._words):
            port = _free_port()
            self._words = [word.replace(_PORT, str(port)) for word in self._words]
            place = urlsplit(card.endpoint)._replace(netloc=f"127.0.0.1:{port}").geturl()
            self.card = replace(self.card, endpoint=place)

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is not None:
            self._say(self._end())
        with self._watching:
            _end_group(process)

    def start(self, log: Path, say: Callable[[str], None]) -> None:
        """Start the server and wait until it lists its models.

        If this process is killed, the server is killed too.

        Args:
            log: The file for what it prints; its folder is made.
            say: Called with a sentence before the wait, and with one if the server ends by itself.

        Raises:
            UsageError: A server answers at the address already.
            ModelError: The command cannot be run, ends, or does not answer in time.
        """
        place = self.card.endpoint
        if self._answers():
            raise UsageError(
                f"A server answers at {place} already, and --serve would start another.",
                hint="Leave out --serve, or have a free port put in: --port {port}.",
            )
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._say = say
        say(f"starting {self._words[0]} at {place}; what it prints is in {log}.")
        try:
            with log.open("wb") as file:
                self._process = subprocess.Popen(  # noqa: S603 - the command is the user's own
                    self._words,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # a group of its own, which is ended as a whole
                )
        except OSError as error:
            raise ModelError(
                f"Cannot run {self._words[0]}: {error.strerror or error}.", hint="Is it installed?"
            ) from error
        self._watching.callback(_end_watch, _watch(self._process))
        self._wait(self._process)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline, pause = time.monotonic() + self._seconds, _FIRST_PAUSE
        while not self._answers():
            if process.poll() is not None:
                raise ModelError(self._end())
            if time.monotonic() >= deadline:
                raise ModelError(
                    f"There is no answer at {self.card.endpoint} after {self._seconds / 60:g} minutes: "
                    f"allow more with --serve-minutes, or put {_PORT} into the command. {self._last_lines()}"
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _answers(self) -> bool:
        # A proxy is for other machines, never for this one.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.card.endpoint.rstrip('/')}/models", timeout=10):
                return True
        except urllib.error.HTTPError as error:
            return error.code in (401, 403)  # it is there, and asks for a key
        except (OSError, HTTPException):
            return False

    def _end(self) -> str:
        code = self._process.returncode if self._process else None
        how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
        return f"The server ended {how}. {self._last_lines()}"

    def _last_lines(self) -> str:
        with suppress(OSError):
            lines = self._log.read_bytes()[-(2**16) :].decode("utf-8", "replace").splitlines()
            shown = [line[:_LINE_CHARACTERS] for line in lines if line.strip()][-_LINES:]
            if shown:
                return hide_secrets("Its last lines:\n" + "\n".join(f"  {line}" for line in shown))
        return "It printed nothing."


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _watch(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """A process that kills the group of `process` when this one ends without having ended it."""
    words = [sys.executable, "-I", "-S", "-c", _WATCH, str(process.pid)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - our own code


def _end_watch(watch: subprocess.Popen[bytes]) -> None:
    watch.kill()
    watch.communicate()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started: asked first, made to after a while."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # Also what it started and did not end itself, and at a second Ctrl-C.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
