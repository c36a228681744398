"""`litellm`: models that the litellm package reaches, for providers without an OpenAI-style endpoint.

`--model litellm:<provider>/<model>`, for example `litellm:bedrock/<model id>` or `litellm:vertex_ai/<model>`.
litellm reads the provider's keys from the environment under its own names; `key_env` and `endpoint` of a card
are passed to it if they are set. At an endpoint of the card it gets no key but that of `key_env`. Redirects
are not followed. Requests have the form and the options of the adapter `openai`; `reply_mb` limits an answer
after litellm has read it. They are retried by the runner, not by litellm. Settings that the provider does not
take are learnt as there.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module, util
from typing import Any

from mmdbench.errors import MissingExtraError, ModelError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.models.endpoints import refuse_clear_text
from mmdbench.models.failures import AttemptError, error_of, kind_of_connection, short_reason
from mmdbench.models.instructions import find_instruction
from mmdbench.models.learning import LearntParameters
from mmdbench.models.throttle import ThrottleSettings
from mmdbench.records import Outcome, Question, Request
from mmdbench.system.secrets import hide_in_addresses, hide_secrets

from ._openai_api.access import OPENAI_VARIABLES, is_openai
from ._openai_api.redirects import moved_to, no_redirects
from ._openai_api.response import outcome_of, reply_too_large
from ._openai_api.settings import ApiSettings, read_key, read_settings
from .openai_api import chat_body

__all__ = ["ADAPTER_VERSION", "LiteLLMModel", "check_card", "load"]

ADAPTER_VERSION = "1"

_NO_ENDPOINT = "https://litellm.invalid"  # settings need one; litellm finds the provider's own
_NO_KEY = "none"
_NOT_TAKEN = ("headers", "query")
_CODES = {
    "ContentPolicyViolationError": "content_policy_violation",
    "ContextWindowExceededError": "context_length_exceeded",
}


class LiteLLMModel:
    """One model that litellm reaches."""

    def __init__(self, settings: ApiSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._places = settings.endpoint != _NO_ENDPOINT
        self.learnt = LearntParameters(settings.parameters, settings.generation)

    def __repr__(self) -> str:
        return f"LiteLLMModel({self._name!r})"

    @property
    def concurrency(self) -> int:
        """The most requests at once."""
        return self.throttle.concurrency

    @property
    def throttle(self) -> ThrottleSettings:
        """Bounds of concurrency, rates and attempts, from the card."""
        return self._settings.throttle

    def fingerprint(self) -> Mapping[str, Any]:
        """Adapter, model, the endpoint if the card names one, and the settings of pictures and prompts."""
        found = self._settings.fingerprint()
        if not self._places:
            del found["endpoint"]
        return {"adapter": "litellm", "version": ADAPTER_VERSION, **found, **self.learnt.record}

    def check(self) -> None:
        """Raises ModelError if the key that the card names is missing, or if litellm cannot be imported."""
        self._key()
        try:
            _litellm()
        except ImportError as error:
            raise ModelError(f"litellm cannot be imported: {error}.") from error

    def prompt(self, _question: Question, default: str) -> str:
        """The benchmark's prompt, followed by the card's instruction if it has one."""
        instruction = self._settings.instruction
        return default if instruction is None else instruction.after(default)

    async def agenerate(self, request: Request) -> Outcome:
        """Send a request once, without the settings that the model does not take. Raises AttemptError."""
        return await self.learnt.ask(
            request.generation, lambda sent: self._complete(replace(request, generation=sent))
        )

    async def _complete(self, request: Request) -> Outcome:
        body, sent = chat_body(request, self._settings)
        key = self._key()
        place = {"base_url": self._settings.endpoint} if self._places else {}
        # Without a key of ours litellm would send one of its own to the card's endpoint.
        given = {"api_key": key or _NO_KEY} if key or self._places else {}
        once = {"timeout": self._settings.timeout, "max_retries": 0, "num_retries": 0}
        try:
            module = _litellm()
            with no_redirects():
                task = module.acompletion(**body, **place, **given, **once)
                answer = await asyncio.wait_for(task, self._settings.timeout)  # litellm's limits each read
            content = json.dumps(answer.model_dump()).encode()
        except Exception as error:  # noqa: BLE001 - litellm's errors have no common base; the kind is found below
            failure = _failure(error, key)
        else:
            if len(content) > self._settings.reply_mb * 1e6:
                raise reply_too_large(self._settings.reply_mb)
            outcome = outcome_of("application/json", content, key)
            return replace(outcome, details={**outcome.details, "sent": sent}) if sent else outcome
        # Raised here, it has no reference to the request, whose headers hold the key.
        raise failure

    def _key(self) -> str:
        """The key of the card. Raises ModelError or UsageError for what litellm would send elsewhere."""
        address = self._settings.endpoint if self._places else _address_of_provider(self._settings.model)
        found = [name for name in OPENAI_VARIABLES if os.environ.get(name)]
        if found and not is_openai(address):
            raise ModelError(
                f"litellm would send the environment variable {found[0]} to the server of {self._name!r}, "
                "and it is for OpenAI alone.",
                hint=f"Run: unset {' '.join(found)}",
            )
        if address and not self._places:
            refuse_clear_text(address, "OPENAI_API_KEY", self._name, allow_http=False)
        return read_key(self._settings, self._name)


def load(card: ModelCard) -> LiteLLMModel:
    """Open the model of a card; nothing is sent before the first request.

    Raises UsageError for a card without a model or with an option that has no effect here, MissingExtraError
    without litellm.
    """
    if not card.model:
        raise UsageError(
            f"The card {card.name!r} needs the name of a model of litellm.",
            hint="Write litellm:<provider>/<model>.",
        )
    given = {**card.options, "headers": card.headers, "query": "?" in card.endpoint}
    for name in _NOT_TAKEN:
        if given.get(name):
            raise UsageError(f"The adapter litellm takes no {name}.", hint="Take it out of the card.")
    if util.find_spec("litellm") is None:
        raise MissingExtraError("litellm", extra="litellm")
    settings = read_settings(replace(card, endpoint=card.endpoint or _NO_ENDPOINT))
    return LiteLLMModel(replace(settings, instruction=find_instruction(card.options)), card.name)


def check_card(card: ModelCard) -> None:
    """Raise MissingExtraError without litellm, ModelError if it or the card's key cannot be used."""
    load(card).check()


def _address_of_provider(model: str) -> str:
    """The address that litellm asks for a model of OpenAI; empty for another provider."""
    provider, slash, _ = model.partition("/")
    if slash and provider != "openai":
        return ""
    named = (os.environ.get(name, "") for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"))
    return next(filter(None, named), "https://api.openai.com/v1")


def _litellm() -> Any:
    # Otherwise it downloads its table of prices when it is imported, and reads variables from a file .env.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    module: Any = import_module("litellm")
    module.suppress_debug_info = True  # it would print advice between the lines of a run
    return module


def _failure(error: Exception, key: str) -> AttemptError:
    """The failure behind an error of litellm, which names an HTTP status even where there was none."""
    name, status = type(error).__name__, getattr(error, "status_code", None)
    message = hide_secrets(f"{name}: {error}")
    moved = moved_to(error)
    if moved:
        reason = f"the server names another address, where nothing is sent: {hide_in_addresses(moved)}"
        return AttemptError("not_found", short_reason(hide_secrets(reason), key))
    if isinstance(error, asyncio.TimeoutError):
        return AttemptError("timeout", "no answer came within the option timeout")
    if name == "Timeout":
        return AttemptError("timeout", short_reason(message, key))
    if "APIConnectionError" in _names_of_causes(error):
        return AttemptError(kind_of_connection(error), short_reason(message, key))
    if not isinstance(status, int):
        return AttemptError("unexpected", short_reason(message, key))
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    said = getattr(error, "body", None)  # the provider's own error, whose code litellm may replace
    details = {**(said if isinstance(said, dict) else {}), "message": message}
    details |= {"code": _CODES[name]} if name in _CODES else {}
    return error_of(status, {"error": details}, headers, key)


def _names_of_causes(error: BaseException | None) -> set[str]:
    names = set()
    while error is not None:
        names.add(type(error).__name__)
        error = error.__cause__ or error.__context__
    return names
