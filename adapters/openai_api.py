"""`openai`: models behind an OpenAI-style API, hosted or on this machine.

Requests follow from the model card and are sent with aiohttp, batch files with the openai client. Pictures
are sent as data URIs with the variant's exact bytes. Requests are retried by the runner, not by a client.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mmdbench.models.cards import ModelCard
from mmdbench.models.instructions import find_instruction
from mmdbench.models.learning import LearntParameters
from mmdbench.models.throttle import ThrottleSettings
from mmdbench.records import ImageBytes, Outcome, Question, Request

from ._openai_api.access import read_access
from ._openai_api.batches import OpenAIBatches
from ._openai_api.chat_client import ChatClient, first_model
from ._openai_api.pictures import data_uri, fit
from ._openai_api.settings import ApiSettings, read_settings

__all__ = ["ADAPTER_VERSION", "OpenAIModel", "chat_body", "check_card", "load"]

ADAPTER_VERSION = "1"

_PICTURE = f"picture-{secrets.token_hex(16)}"


class OpenAIModel:
    """One model at one endpoint."""

    def __init__(self, settings: ApiSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._client: ChatClient | None = None
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
        """Raises ModelError if the key is missing, MissingExtraError without aiohttp."""
        self._resolve()
        self._opened_client()

    def prompt(self, _question: Question, default: str) -> str:
        """The benchmark's prompt, followed by the card's instruction if it has one."""
        instruction = self._settings.instruction
        return default if instruction is None else instruction.after(default)

    async def agenerate(self, request: Request) -> Outcome:
        """Send a request once, without the settings that the model does not take. Raises AttemptError."""
        clock = asyncio.get_running_loop().time
        ends = clock() + self._settings.timeout  # for all that is sent until these settings are known

        async def complete(sent: dict[str, Any]) -> Outcome:
            return await self._complete(replace(request, generation=sent), max(0.001, ends - clock()))

        return await self.learnt.ask(request.generation, complete)

    async def _complete(self, request: Request, seconds: float) -> Outcome:
        body, sent = chat_body_bytes(request, self._settings)
        outcome = await self._opened_client().complete(body, seconds)
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
        if self._client is not None:
            await self._client.close()

    def _opened_client(self) -> ChatClient:
        if self._client is None:
            self._client = self._new_client()
        return self._client

    def _new_client(self) -> ChatClient:
        return ChatClient(self._settings, read_access(self._settings, self._name))

    def _resolve(self) -> None:
        if self._settings.model == "auto":
            self._settings = replace(self._settings, model=first_model(self._new_client(), self._settings))


def load(card: ModelCard) -> OpenAIModel:
    """Open the model of a card; nothing is sent to it and no key is needed before the first request."""
    settings = replace(read_settings(card), instruction=find_instruction(card.options))
    return OpenAIModel(settings, card.name)


def check_card(card: ModelCard) -> None:
    """Raise ModelError if the key is missing, MissingExtraError without aiohttp."""
    load(card).check()


def chat_body(
    request: Request, settings: ApiSettings, uri: Callable[[ImageBytes], str] = data_uri
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The JSON of a chat completion, and a record of each picture that was changed.

    Args:
        request: The request.
        settings: The settings of the server.
        uri: Makes the address of a picture; by default a data URI with its bytes.

    Returns:
        The body and the records.
    """
    pictures: list[dict[str, Any]] = []
    sent: list[dict[str, Any]] = []
    for number, image in enumerate(request.images):
        made, done = fit(image, settings.pictures)
        url: dict[str, Any] = {"url": uri(made)}
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


def chat_body_bytes(request: Request, settings: ApiSettings) -> tuple[bytes, list[dict[str, Any]]]:
    """`chat_body` as JSON; the data of its pictures do not pass through an encoder of JSON, which is slow."""
    made: list[ImageBytes] = []

    def mark(image: ImageBytes) -> str:
        made.append(image)
        return _PICTURE

    body, sent = chat_body(request, settings, mark)
    first, *rest = json.dumps(body).split(_PICTURE)
    uris = [data_uri(image) for image in made]
    return "".join([first, *(part for pair in zip(uris, rest, strict=True) for part in pair)]).encode(), sent
