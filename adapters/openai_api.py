"""`openai`: models behind an OpenAI-style API, hosted or on this machine.

Requests follow from the model card and are sent with the openai client. Pictures are sent as data URIs
with the variant's exact bytes. Requests are retried by the runner, not by the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmdbench.models.cards import ModelCard
from mmdbench.models.instructions import find_instruction
from mmdbench.models.learning import LearntParameters
from mmdbench.models.throttle import ThrottleSettings
from mmdbench.records import Outcome, Question, Request

from ._openai_api.access import read_access
from ._openai_api.batches import OpenAIBatches
from ._openai_api.chat_client import ChatClient, first_model
from ._openai_api.client_pool import ClientPool
from ._openai_api.pictures import data_uri, fit
from ._openai_api.settings import ApiSettings, read_settings

__all__ = ["ADAPTER_VERSION", "OpenAIModel", "chat_body", "load"]

ADAPTER_VERSION = "1"


class OpenAIModel:
    """One model at one endpoint."""

    def __init__(self, settings: ApiSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._pool: ClientPool | None = None
        self.learnt = LearntParameters(settings.parameters, settings.generation)

    def __repr__(self) -> str:
        return f"OpenAIModel({self._name!r})"

    @property
    def concurrency(self) -> int:
        """The most requests at once."""
        return self.throttle.concurrency

    @property
    def throttle(self) -> ThrottleSettings:
        """Bounds of concurrency, rates and attempts, from the card."""
        return self._settings.throttle

    def fingerprint(self) -> Mapping[str, Any]:
        """Adapter, model, endpoint, the settings of pictures and prompts, and what the server refuses."""
        self._resolve()
        settings = self._settings.fingerprint()
        return {"adapter": "openai", "version": ADAPTER_VERSION, **settings, **self.learnt.record}

    def check(self) -> None:
        """Raises ModelError if the key is missing, MissingExtraError without the openai client."""
        self._resolve()
        self._opened_pool()

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
        outcome = await self._opened_pool().complete(body)
        return replace(outcome, details={**outcome.details, "sent": sent}) if sent else outcome

    def batches(self) -> OpenAIBatches:
        """The batch endpoint of the server. Raises ModelError if the key is missing."""
        self._resolve()

        def body(request: Request) -> tuple[dict[str, Any], list[dict[str, Any]]]:
            sent = self.learnt.known.sent(request.generation)
            return chat_body(replace(request, generation=sent), self._settings)

        return OpenAIBatches(self._settings, read_access(self._settings, self._name), body)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.close()

    def _opened_pool(self) -> ClientPool:
        if self._pool is None:
            self._pool = ClientPool(self._settings, self._name)
        return self._pool

    def _resolve(self) -> None:
        if self._settings.model == "auto":
            client = ChatClient(self._settings, read_access(self._settings, self._name))
            self._settings = replace(self._settings, model=first_model(client, self._settings))


def load(card: ModelCard) -> OpenAIModel:
    """Open the model of a card; nothing is sent to it and no key is needed before the first request."""
    settings = replace(read_settings(card), instruction=find_instruction(card.options))
    return OpenAIModel(settings, card.name)


def chat_body(request: Request, settings: ApiSettings) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The JSON of a chat completion, and a record of each picture that was changed."""
    pictures: list[dict[str, Any]] = []
    sent: list[dict[str, Any]] = []
    for number, image in enumerate(request.images):
        made, done = fit(image, settings.pictures)
        url: dict[str, Any] = {"url": data_uri(made)}
        if settings.detail:
            url["detail"] = settings.detail
        pictures.append({"type": "image_url", "image_url": url})
        if done:
            sent.append({"image": number, **done})
    text = {"type": "text", "text": request.prompt}
    content: Any = [*pictures, text] if settings.image_first else [text, *pictures]
    if not pictures:  # servers of text models take no list of parts
        content = request.prompt
    system = [{"role": "system", "content": settings.system}] if settings.system else []
    messages = [*system, {"role": "user", "content": content}]
    asked = {"logprobs": True} if settings.logprobs else {}
    return {"model": settings.model, "messages": messages, **asked, **request.generation}, sent
