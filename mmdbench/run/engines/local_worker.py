"""A worker process: takes requests from standard input, gives replies on standard output.

What the model prints goes to standard error, which the driver made the worker's log. The process
ends when it is told to, when its model cannot go on, or when the driver is gone.

From the driver: `open` (card, threads), `prompt` (question, default), `ask` (planned, alone),
`return` (what is not begun), `end`. To the driver: `ready` (facts), `prompt` (text), `asking` (keys),
`reply` (reply), `returned` (keys), `error` (an MmdbenchError; the process ends after it).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mmdbench.errors import MmdbenchError, ModelError
from mmdbench.records import Question
from mmdbench.run.engines.worker import Made, Worker, make
from mmdbench.run.plan import Planned
from mmdbench.run.prefetch import CleanImageCache
from mmdbench.system.opencv import single_threaded_opencv
from mmdbench.system.processes import MessageWriter, read_message

__all__ = ["main"]


@dataclass(frozen=True, slots=True)
class _Waiting:
    planned: Planned
    made: Future[Made]
    alone: bool


class _Inbox:
    """What the driver sent and is not begun; filled by a thread of its own, so that pipes never clog."""

    def __init__(self, sender: MessageWriter, pool: ThreadPoolExecutor) -> None:
        self._sender = sender
        self._pool = pool
        self._images = CleanImageCache()
        self._news = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._prompts: deque[tuple[Question, str]] = deque()
        self._ended = False

    def listen(self) -> None:
        """Take in messages until the driver is gone, and end the process then."""
        while (message := read_message(sys.stdin.buffer)) is not None:
            self._take(*message)
            if message[0] == "end":
                return
        os._exit(1)  # nobody is there to take a reply, so even one that is being made is in vain

    def next(self, size: int) -> list[_Waiting] | tuple[Question, str] | None:
        """A prompt to word, or up to `size` requests to ask together; None at the end."""
        with self._news:
            self._news.wait_for(lambda: self._ended or self._waiting or self._prompts)
            if self._prompts:
                return self._prompts.popleft()
            batch: list[_Waiting] = []
            while self._waiting and len(batch) < size and not (batch and self._waiting[0].alone):
                batch.append(self._waiting.popleft())
                if batch[0].alone:
                    break
            if batch:
                # Told under the lock: what is begun is never among what is returned.
                self._sender.send("asking", [item.planned.key for item in batch])
            return batch or None

    def _take(self, kind: str, *rest: Any) -> None:
        with self._news:
            if kind == "ask":
                planned, alone = rest
                self._waiting.append(_Waiting(planned, self._pool.submit(make, planned, self._images), alone))
            elif kind == "prompt":
                self._prompts.append((rest[0], rest[1]))
            elif kind == "return":
                self._sender.send("returned", [item.planned.key for item in self._waiting])
                for item in self._waiting:
                    item.made.cancel()
                self._waiting.clear()
            elif kind == "end":
                self._ended = True
            self._news.notify()


def main() -> None:
    """Serve the driver that started this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the driver, which ends its workers in order
    sender = MessageWriter(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    opening = read_message(sys.stdin.buffer)
    if opening is None:
        return
    _, card, threads = opening
    try:
        worker = Worker(card)
        sender.send("ready", worker.facts())
        with single_threaded_opencv(), ThreadPoolExecutor(threads, thread_name_prefix="variants") as pool:
            inbox = _Inbox(sender, pool)
            threading.Thread(target=inbox.listen, daemon=True).start()
            _serve(worker, inbox, sender)
    except MmdbenchError as error:
        sender.send("error", error)
    except Exception as error:  # an adapter is foreign code; the driver says what it raised
        logging.getLogger("mmdbench").exception("the worker ends")
        sender.send("error", ModelError(f"The model {card.name!r} failed: {type(error).__name__}: {error}."))
    finally:
        sys.stderr.flush()
        os._exit(0)  # the listening thread may wait for input, and Python cannot end while it does


def _serve(worker: Worker, inbox: _Inbox, sender: MessageWriter) -> None:
    while (task := inbox.next(worker.batch_size)) is not None:
        if isinstance(task, tuple):
            sender.send("prompt", worker.prompt(*task))
            continue
        replies, error = worker.ask([item.made.result() for item in task])
        for reply in replies:
            sender.send("reply", reply)
        if error is not None:
            raise error
