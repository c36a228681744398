"""A worker process: reads requests from standard input, writes replies to standard output.

The model's own output goes to standard error, which is the worker's log. The process exits on the
message `end`, when its model cannot be asked any more, or when the calling process is gone.

Messages from the pool: `open` (card, threads), `prompt` (question, default), `ask` (planned, alone),
`recall` (requests that are not started), `end`. Messages to the pool: `ready` (facts), `prompt` (text),
`started` (keys), `reply` (reply), `recalled` (keys), `error` (an MmdbenchError; the process exits then).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mmdbench.errors import MmdbenchError, ModelError
from mmdbench.records import Question
from mmdbench.run.engines.worker import Made, OpenedModel, make
from mmdbench.run.plan import Planned
from mmdbench.run.prefetch import CleanImageCache
from mmdbench.system.opencv import single_threaded_opencv
from mmdbench.system.processes import MessageWriter, read_message
from mmdbench.system.secrets import error_text, hide_secrets
from mmdbench.system.stop_signals import ignore_stop_signals

__all__ = ["main"]


@dataclass(frozen=True, slots=True)
class _Queued:
    planned: Planned
    made: Future[Made]
    alone: bool


class _RequestQueue:
    """Requests that are not started; filled by its own thread, so that the pool never blocks on a pipe."""

    def __init__(self, sender: MessageWriter, pool: ThreadPoolExecutor) -> None:
        self._sender = sender
        self._pool = pool
        self._images = CleanImageCache()
        self._changed = threading.Condition()
        self._waiting: deque[_Queued] = deque()
        self._prompts: deque[tuple[Question, str]] = deque()
        self._ended = False

    def read_messages(self) -> None:
        """Handle messages until `end`; exit the process if the calling process is gone."""
        while (message := read_message(sys.stdin.buffer)) is not None:
            self._on_message(*message)
            if message[0] == "end":
                return
        os._exit(1)  # no process is left to read a reply, not even one that is being made

    def next_batch(self, size: int) -> list[_Queued] | tuple[Question, str] | None:
        """A prompt to word, or up to `size` requests to ask together; None after `end`."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._waiting or self._prompts)
            if self._prompts:
                return self._prompts.popleft()
            batch: list[_Queued] = []
            while self._waiting and len(batch) < size and not (batch and self._waiting[0].alone):
                batch.append(self._waiting.popleft())
                if batch[0].alone:
                    break
            if batch:
                # Sent under the lock: a started request is never among the recalled ones.
                self._sender.send("started", [item.planned.key for item in batch])
            return batch or None

    def _on_message(self, kind: str, *rest: Any) -> None:
        with self._changed:
            if kind == "ask":
                planned, alone = rest
                self._waiting.append(_Queued(planned, self._pool.submit(make, planned, self._images), alone))
            elif kind == "prompt":
                self._prompts.append((rest[0], rest[1]))
            elif kind == "recall":
                self._sender.send("recalled", [item.planned.key for item in self._waiting])
                for item in self._waiting:
                    item.made.cancel()
                self._waiting.clear()
            elif kind == "end":
                self._ended = True
            self._changed.notify()


def main() -> None:
    """Answer the requests of the pool that started this process."""
    ignore_stop_signals()
    sender = MessageWriter(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    opening = read_message(sys.stdin.buffer)
    if opening is None:
        return
    _, card, threads = opening
    try:
        model = OpenedModel(card)
        sender.send("ready", model.facts())
        with single_threaded_opencv(), ThreadPoolExecutor(threads, thread_name_prefix="variants") as pool:
            requests = _RequestQueue(sender, pool)
            threading.Thread(target=requests.read_messages, daemon=True).start()
            _answer(model, requests, sender)
    except MmdbenchError as error:
        sender.send("error", error)
    except Exception as error:  # noqa: BLE001 - an adapter is foreign code; the calling process reports it
        shown = hide_secrets(traceback.format_exc())
        logging.getLogger("mmdbench").error("the worker exits\n%s", shown)  # noqa: TRY400 - a key is hidden
        sender.send("error", ModelError(f"The model {card.name!r} failed: {error_text(error)}."))
    finally:
        sys.stderr.flush()
        os._exit(0)  # the reader thread may wait for input, and Python cannot exit while it does


def _answer(model: OpenedModel, requests: _RequestQueue, sender: MessageWriter) -> None:
    while (task := requests.next_batch(model.batch_size)) is not None:
        if isinstance(task, tuple):
            sender.send("prompt", model.prompt(*task))
            continue
        replies, error = model.ask([item.made.result() for item in task])
        for reply in replies:
            sender.send("reply", reply)
        if error is not None:
            raise error
