"""Judges behind an OpenAI-style API.

A judge is named like a model: `gpt-4.1`, or `openai:<model>@<base-url>`; its card says where it is
and which environment variable holds its key. The key leaves this module in a request's header only.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mmdbench.errors import MissingExtraError, ModelError, UsageError
from mmdbench.models.cards import ModelCard, find_card
from mmdbench.models.failures import AttemptError, error_of, kind_of_connection, short_reason
from mmdbench.models.throttle import ThrottleSettings, backoff_seconds
from mmdbench.records import Index
from mmdbench.scoring import JudgeKey, JudgeReply
from mmdbench.system.digest import bytes_digest
from mmdbench.system.secrets import hide

__all__ = ["OpenAIJudge", "open_judge"]

_LONGEST_WAIT = 600.0
_SPENT_IN_A_ROW = 10
_SILENT_IN_A_ROW = 3
_SILENT = ("unreachable", "rate_limited")
_REFUSED_AT_FIRST = 10
_LOCAL = ("localhost", "127.0.0.1", "::1")
_TIMEOUT = 120.0
_DEFAULTS = ThrottleSettings(concurrency=8, attempts=6)


class OpenAIJudge:
    """A judge at an OpenAI-style endpoint; several threads may ask it at once.

    Nothing is sent and no key is looked for before the first question, so a journal that holds
    every reply is re-scored without either. `settings` bounds attempts and pauses; `timeout` is in
    seconds. `close` ends its connections.
    """

    def __init__(
        self, card: ModelCard, *, settings: ThrottleSettings | None = None, timeout: float = _TIMEOUT
    ) -> None:
        parts = urlsplit(card.endpoint)
        self.model = card.model
        self.host = "local" if parts.hostname in _LOCAL else parts.hostname or ""
        self.settings = settings or _DEFAULTS
        self._card = card
        self._timeout = timeout
        self._key = ""
        self._client: Any = None
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._answered = False
        self._spent: set[tuple[str, Index]] = set()
        self._refused = 0

    def __repr__(self) -> str:
        return f"OpenAIJudge({self.id!r})"

    @property
    def id(self) -> str:
        """`<model>@<host>`, where `local` is this machine; of a checkpoint's path only name and digest."""
        model = self.model
        if Path(model).is_absolute():
            model = f"{Path(model).name}-{bytes_digest(model.encode())[:8]}"
        return f"{model}@{self.host}"

    def ask(self, prompt: str, *, temperature: float, max_tokens: int, key: JudgeKey) -> JudgeReply:
        """Answer one prompt; what the server cannot answer is a reply with status `error` and the reason.

        A limit, a failure of the server or a broken connection is tried again, after the pause that
        the server asks for. Raises ModelError where no question can succeed (key, model, address,
        credit, a server that stays dead) and MissingExtraError without the openai client.
        """
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": temperature,
            "max_tokens": max_tokens,
        }
        attempt = 0
        while True:
            attempt += 1
            self._wait()
            sent = self._send(body)
            if isinstance(sent, str):
                self._note_success()
                return JudgeReply(sent)
            if sent.rule.action == "stop":
                raise ModelError(
                    f"The judge {self.id} cannot be asked: {sent.reason}.", hint=self._hint(sent)
                )
            if sent.rule.action != "retry":
                self._note_refusal(sent)
                return JudgeReply(sent.reason, "error")
            if attempt >= self.settings.attempts:
                self._note_spent(sent, key)
                return JudgeReply(sent.reason, "error")
            self._pause(sent, attempt, key)

    def close(self) -> None:
        """End the connections; another question opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _send(self, body: Mapping[str, Any]) -> str | AttemptError:
        client, openai = self._opened()
        try:
            raw = client.chat.completions.with_raw_response.create(**body)
            content = raw.http_response.text
        except openai.OpenAIError as error:
            return _failure_of(openai, error, self._key)
        return _text_of(content, self._key)

    def _opened(self) -> tuple[Any, Any]:
        if find_spec("openai") is None:
            raise MissingExtraError("The openai client", extra="api")
        import openai

        with self._lock:
            if self._client is None:
                self._key = _read_key(self._card, local=self.host == "local")
                # A proxy stands between this machine and others, never between it and itself.
                web = openai.DefaultHttpxClient(trust_env=self.host != "local", timeout=self._timeout)
                self._client = openai.OpenAI(
                    api_key=self._key or "none",
                    base_url=self._card.endpoint,
                    max_retries=0,
                    timeout=self._timeout,
                    http_client=web,
                )
            return self._client, openai

    def _wait(self) -> None:
        with self._lock:
            pause = self._not_before - time.monotonic()
        if pause > 0:
            time.sleep(pause)

    def _pause(self, failure: AttemptError, attempt: int, key: JudgeKey) -> None:
        if failure.retry_after is None:
            time.sleep(backoff_seconds(self.settings, attempt, f"{key.digest}/{key.attempt}"))
            return
        if failure.retry_after > _LONGEST_WAIT:
            raise ModelError(
                f"The judge {self.id} wants to be left alone for {failure.retry_after:.0f} s: "
                f"{failure.reason}.",
                hint="Every reply so far is in the journal; run the same command again later.",
            )
        # Whoever asks next waits as well: the limit is the account's, not the question's.
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + failure.retry_after)

    def _note_success(self) -> None:
        with self._lock:
            self._answered = True
            self._spent.clear()

    def _note_spent(self, failure: AttemptError, key: JudgeKey) -> None:
        # Rows are counted, not calls: a few that break the server must not keep the others from a score.
        with self._lock:
            self._spent.add((key.bench, key.index))
            rows = len(self._spent)
        if rows >= (_SILENT_IN_A_ROW if failure.kind in _SILENT else _SPENT_IN_A_ROW):
            raise ModelError(
                f"The judge {self.id} failed on {rows} rows in a row, each time "
                f"{self.settings.attempts} times: {failure.reason}.",
                hint="Every reply so far is in the journal; run the same command again.",
            )

    def _note_refusal(self, failure: AttemptError) -> None:
        with self._lock:
            self._refused += 1
            hopeless = not self._answered and self._refused >= _REFUSED_AT_FIRST
        if hopeless:
            raise ModelError(
                f"The judge {self.id} refused its first {_REFUSED_AT_FIRST} questions: {failure.reason}.",
                hint="Is it a chat model that takes temperature and max_tokens?",
            )

    def _hint(self, failure: AttemptError) -> str:
        if failure.kind == "unauthorised":
            return f"Is the environment variable {self._card.key_env or '(none is named)'} right?"
        if failure.kind == "not_found":
            return "Is the model's name right, and does the address end as the server wants it (/v1)?"
        return ""


def open_judge(spec: str, files: Sequence[Path] = ()) -> OpenAIJudge:
    """The judge of that name: a card such as `gpt-4.1`, or `openai:<model>` or `openai:<model>@<base-url>`.

    To a base URL only MMDBENCH_API_KEY is sent, never the key of the card's own endpoint. `files` are
    card files of the user's. Raises UnknownNameError, and UsageError for a card that cannot judge.
    """
    card = find_card(spec, files)
    parts = urlsplit(card.endpoint)
    if card.adapter != "openai" or parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"{card.name!r} cannot judge: it is not behind an OpenAI-style API.",
            hint="Name a judge like gpt-4.1, or openai:<model>@<base-url>.",
        )
    if parts.username or parts.password or parts.query:
        raise UsageError(
            "The judge's address holds a user name, a password or a query.",
            hint="Put the key into the environment variable MMDBENCH_API_KEY.",
        )
    if not card.model or card.model == "auto":
        raise UsageError(f"The judge {card.name!r} names no model.", hint=f"Write {card.name}:<model>.")
    if card.options.get("reasoning"):
        raise UsageError(
            f"{card.name!r} is a reasoning model, which takes no temperature; judges are asked at 0.",
            hint="Name another judge, for example gpt-4.1 or gpt-4o-mini.",
        )
    return OpenAIJudge(card)


def _read_key(card: ModelCard, *, local: bool) -> str:
    key = os.environ.get(card.key_env, "").strip() if card.key_env else ""
    if not key and not local and card.key_env and card.key_env != "MMDBENCH_API_KEY":
        raise ModelError(
            f"The judge {card.name!r} needs a key, and the environment variable {card.key_env} is not set.",
            hint=f"Run: export {card.key_env}=…",
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ModelError(
            f"The environment variable {card.key_env} holds a character that no key has.",
            hint="Set it again.",
        )
    return key


def _text_of(content: str, key: str) -> str | AttemptError:
    try:
        answer = json.loads(content)
        choices = answer.get("choices")
        if choices is None and isinstance(answer.get("error"), dict):
            code = answer["error"].get("code")
            return error_of(code if isinstance(code, int) and 400 <= code < 600 else 500, answer, {}, key)
        if not choices:
            return AttemptError("empty_choices", "the answer holds no choice")
        text = choices[0]["message"].get("content") or ""
        if isinstance(text, list):  # parts, as some servers send them
            text = "".join(str(part.get("text") or "") for part in text)
        if not isinstance(text, str):
            return AttemptError("malformed", f"the content is a {type(text).__name__}")
    except (AttributeError, KeyError, TypeError, ValueError):
        shown = short_reason(content, key)[:80]  # cut first, half a key could be left
        return AttemptError("malformed", f"the answer is no chat completion: {shown!r}")
    return hide(text, key)


def _failure_of(openai: Any, error: Any, key: str) -> AttemptError:
    if isinstance(error, openai.APIStatusError):
        body = error.body if error.body is not None else str(error)
        return error_of(error.status_code, body, error.response.headers, key)
    if isinstance(error, openai.APIConnectionError):
        late = isinstance(error, openai.APITimeoutError)
        kind = kind_of_connection(error, "timeout" if late else "dropped")
        reason = "no answer came in time" if kind == "timeout" else short_reason(_deepest(error), key)
        return AttemptError(kind, reason)
    return AttemptError("malformed", short_reason(f"{type(error).__name__}: {error}", key))


def _deepest(error: BaseException) -> str:
    seen = error
    while (inner := seen.__cause__ or seen.__context__) is not None:
        seen = inner
    return f"{type(seen).__name__}: {seen}"
