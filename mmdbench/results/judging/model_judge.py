"""A judge that is a model behind an API, with the throttle, retries and budget of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from threading import Lock, Thread
from typing import Any

from mmdbench.errors import IncompleteError, ModelError
from mmdbench.models.cards import ModelCard
from mmdbench.models.failures import AttemptError
from mmdbench.models.parameters import LEARNABLE
from mmdbench.models.registry import AsyncModel, check_model
from mmdbench.models.throttle import Throttle, throttle_settings
from mmdbench.models.tokens import checked_usage
from mmdbench.records import Outcome, Request
from mmdbench.results.judging.asked import judge_id
from mmdbench.run.async_driver import AsyncDriver
from mmdbench.run.budget import INTERRUPTED, Budget, Spending
from mmdbench.run.served_models import ServedModels
from mmdbench.scoring import JudgeCall, JudgeReply
from mmdbench.scoring.thoughts import after_thoughts, thought_start

__all__ = ["ModelJudge"]

_MOST_ATTEMPTS = 6
_FAILED_ROWS = 10
_SILENT_ROWS = 3
_SILENT_KINDS = ("unreachable", "rate_limited", "forbidden")


class ModelJudge:
    """A judge behind an API; several threads may ask it at once.

    Nothing is sent and no key is read before the first call, so a journal that holds every reply
    needs neither. `spending` is the cost of its calls.

    Args:
        card: The model card, whose model and endpoint give the judge its id.
        model: The model that the card describes.
        budget: The most that the calls may cost.
        allow_model_change: Continue where the server answers as another model than before.
    """

    def __init__(
        self, card: ModelCard, model: AsyncModel, budget: Budget, *, allow_model_change: bool = False
    ) -> None:
        self.card = card
        self.spending = Spending(budget)
        self._model = model
        self._allow_model_change = allow_model_change
        settings = throttle_settings(model)
        # Fewer attempts than for a model: a row that failed is asked about again by the protocol.
        self._throttle = Throttle(replace(settings, attempts=min(settings.attempts, _MOST_ATTEMPTS)))
        self._driver: AsyncDriver | None = None
        self.served = ServedModels(card.model)
        self._asked, self._failed, self._read, self._written = 0, 0, 0, 0
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    def __repr__(self) -> str:
        return f"ModelJudge({self.id!r})"

    @property
    def id(self) -> str:
        """The judge's id, as every score records it."""
        return judge_id(self.card)

    def check(self) -> None:
        """Raise ModelError if a key is missing, MissingExtraError without the client; nothing is sent."""
        check_model(self._model)

    def ask(self, call: JudgeCall) -> JudgeReply:
        """Answer one call; a failure of this call alone is a reply with status `error`.

        Raises:
            ModelError: No call can succeed (key, model, address, credit), the server stays dead, or it
                answers as another model than before.
            IncompleteError: The budget is used up.
            KeyboardInterrupt: `spending` was stopped by Ctrl-C, SIGTERM or SIGHUP.
            MissingExtraError: The adapter's client is not installed.
        """
        self.check()  # a call without a key is none, and is not counted
        sampling = {"temperature": call.temperature, "max_tokens": call.max_tokens}
        # The protocol decides on sampling, the card on everything else, such as the effort of reasoning.
        own = {name: value for name, value in self.card.generation.items() if name not in LEARNABLE}
        settings = {**own, **sampling}
        request = Request(call.key(self.id), call.prompt, call.prompt, {}, call.images, generation=settings)
        outcome = asyncio.run_coroutine_threadsafe(self._ask(request), self._running_loop()).result()
        if outcome is None:
            raise self._stopped()
        learnt = getattr(self._model, "learnt", None)
        sent = settings if learnt is None else learnt.known.sent(settings)
        told = None if sent == sampling else sent
        if "failure" in outcome.details:
            return JudgeReply(outcome.reason, "error", told)
        served = str(outcome.details.get("model") or "")
        text = outcome.text if call.with_thoughts else _after_thoughts(outcome.text)
        return JudgeReply(text, sent=told, served=served)

    def require_one_model(self) -> None:
        """Raise ModelError if the server answered as several models and that is not allowed."""
        if self.served.alarm and not self._allow_model_change:
            raise ModelError(
                f"The judge {self.id} is not one model: {self.served.alarm}.",
                hint="Its replies are in the journal. --allow-model-change continues; to ask it anew, move "
                "the journal elsewhere.",
            )

    def usage(self) -> dict[str, Any]:
        """JSON-able: calls, tokens and cost so far, named as in the sessions of a run's manifest."""
        return {
            "judge": self.id,
            "asked": self._asked,
            "failed": self._failed,
            "requests_sent": self.spending.sent,
            "tokens": {"read": self._read, "written": self._written},
            "cost_usd": round(self.spending.usd, 6),
            "stopped": self.spending.reason,
            **({"served": self.served.as_dict()} if self.served.models else {}),
        }

    def close(self) -> None:
        """Close the connections; another call opens new ones."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        # A thread of its own, so that a judge can be asked where another event loop runs: in a notebook.
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = Thread(target=self._loop.run_forever, name="judge-loop", daemon=True)
                self._thread.start()
            return self._loop

    async def _ask(self, request: Request) -> Outcome | None:
        if self._driver is None:
            self._driver = AsyncDriver(self._model, self.card, self.spending, self._throttle, _RowFailures())
        timed = await self._driver.ask(request)
        if timed is None:
            return None
        if self.served.see(timed.outcome.details) and self.served.alarm and not self._allow_model_change:
            self.spending.stop(self.served.alarm)
        usage = checked_usage(timed.outcome.details).get("usage") or {}
        self._asked += 1
        self._failed += timed.outcome.status == "error"
        self._read += int(usage.get("prompt", 0))
        self._written += int(usage.get("completion", 0))
        return timed.outcome

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._driver = None
        close: Callable[[], Awaitable[Any]] | None = getattr(self._model, "aclose", None)
        if close is not None:
            await close()

    def _stopped(self) -> BaseException:
        if self._driver is not None and self._driver.fatal is not None:
            return self._driver.fatal
        if self.spending.reason == INTERRUPTED:
            return KeyboardInterrupt()
        try:
            self.require_one_model()
        except ModelError as error:
            return error
        return IncompleteError(
            f"The judge {self.id} was stopped: {self.spending.reason}.",
            hint="Every reply so far is in the journal; run the same command again.",
        )


def _after_thoughts(text: str) -> str:
    """The text after a judge's thoughts; nothing of it if it ends inside of one."""
    return "" if thought_start(text) is not None else text[after_thoughts(text) :]


class _RowFailures:
    """Limit on rows in a row that the judge failed on; a row is known by its prompt and counts once.

    Rows are counted, not calls: a few that break the server must not keep the others from a score.
    """

    def __init__(self) -> None:
        self._has_answered = False
        self._in_a_row = 0
        self._failed_prompts: set[str] = set()

    def reset(self) -> None:
        """Count from 0 again: a call was answered."""
        self._has_answered = True
        self._in_a_row = 0

    def count(self, request: Request, error: AttemptError, *, is_retried: bool) -> str:
        """Count a failed attempt; returns why the judge should not be asked again, empty if it should."""
        if is_retried or request.prompt in self._failed_prompts:
            return ""
        self._failed_prompts.add(request.prompt)
        if self._has_answered and error.rule.action == "fail":
            return ""
        self._in_a_row += 1
        if self._in_a_row < (_SILENT_ROWS if error.kind in _SILENT_KINDS else _FAILED_ROWS):
            return ""
        return f"failed on {self._in_a_row} rows in a row: {error.reason.rstrip('.')}."
