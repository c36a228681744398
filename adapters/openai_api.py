"""`openai`: models behind an OpenAI-style API, hosted or on this machine.

The openai client talks; what it is asked follows from the model card. Pictures go as data URIs
that hold the variant's exact bytes. Trying again is the runner's business, not the client's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmdbench.models.cards import ModelCard
from mmdbench.models.throttle import ThrottleSettings
from mmdbench.records import Outcome, Request

from ._openai_api.pictures import data_uri, fit
from ._openai_api.settings import Settings, read_key, read_settings
from ._openai_api.spreading import Spread
from ._openai_api.talking import Talker, first_model

__all__ = ["ADAPTER_VERSION", "OpenAIModel", "chat_body", "load"]

ADAPTER_VERSION = "1"


class OpenAIModel:
    """One model at one endpoint."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._talker: Spread | None = None

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
        """Adapter, model, endpoint and how pictures and prompts are sent."""
        self._resolve()
        return {"adapter": "openai", "version": ADAPTER_VERSION, **self._settings.fingerprint()}

    def check(self) -> None:
        """Raise ModelError if the key is missing, MissingExtraError without the openai client."""
        self._resolve()
        self._talking()

    async def agenerate(self, request: Request) -> Outcome:
        """Ask once; AttemptError says what kind of failure it was."""
        body, sent = chat_body(request, self._settings)
        outcome = await self._talking().complete(body)
        return replace(outcome, details={**outcome.details, "sent": sent}) if sent else outcome

    async def aclose(self) -> None:
        """End the connections."""
        if self._talker is not None:
            await self._talker.close()

    def _talking(self) -> Spread:
        if self._talker is None:
            self._talker = Spread(self._settings, self._name)
        return self._talker

    def _resolve(self) -> None:
        if self._settings.model == "auto":
            key = read_key(self._settings, self._name)
            Talker(self._settings, key)  # says so if the client is missing
            self._settings = replace(self._settings, model=first_model(self._settings, key))


def load(card: ModelCard) -> OpenAIModel:
    """Read the card; nothing is sent and no key is needed before the first request."""
    return OpenAIModel(read_settings(card), card.name)


def chat_body(request: Request, settings: Settings) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The JSON of a chat completion, and what was done to its pictures (empty: nothing)."""
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
    return {"model": settings.model, "messages": messages, **request.generation}, sent
