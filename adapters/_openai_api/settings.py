"""Settings of a server, read from a model card and checked before anything is sent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mmdbench.errors import ModelError, UnknownNameError, UsageError
from mmdbench.models.card_secrets import (
    check_headers,
    check_variable,
    refuse_secrets_of_address,
    shown_variable,
)
from mmdbench.models.cards import CUSTOM_KEY, ModelCard
from mmdbench.models.endpoints import SERVED_BY, is_local, normal_endpoint, refuse_clear_text, server_of
from mmdbench.models.instructions import INSTRUCTION_OPTIONS, Instruction
from mmdbench.models.parameters import CARD_OPTIONS, Parameters, card_parameters
from mmdbench.models.throttle import ThrottleSettings
from mmdbench.system.bounds import require_between
from mmdbench.system.digest import bytes_digest

from .pictures import PictureRules

__all__ = ["ApiSettings", "read_key", "read_settings"]

_OPTIONS = (
    "concurrency",
    "rpm",
    "tpm",
    "attempts",
    "backoff",
    "longest_wait",
    "timeout",
    "reply_mb",
    "jpeg75",
    "oversize",
    "detail",
    "system",
    "image_first",
    *CARD_OPTIONS,
    "logprobs",
    "allow_http",
    SERVED_BY,
    *INSTRUCTION_OPTIONS,
)
_MOST = 1e9
_DAY_SECONDS = 86_400.0
_DETAILS = ("", "low", "high", "auto")


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Settings of one server; `timeout` is in seconds, `reply_mb` the largest response in millions of bytes.

    `server` is the label or address by which the fingerprint knows the server; empty for its endpoint.
    `endpoint` has no query; `query` is added to every address. The values of `headers` are names of
    environment variables. With `allow_http` a key may be sent over http to another machine.
    """

    model: str
    endpoint: str
    key_env: str
    pictures: PictureRules
    throttle: ThrottleSettings
    timeout: float = 300.0
    reply_mb: float = 16.0
    detail: str = ""
    system: str = ""
    image_first: bool = True
    instruction: Instruction | None = None
    generation: Mapping[str, Any] = field(default_factory=dict)
    parameters: Parameters = field(default_factory=Parameters)
    server: str = ""
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    logprobs: bool = False
    allow_http: bool = False

    def address(self, path: str) -> str:
        """The address of a path below the endpoint, such as `chat/completions`."""
        return f"{self.endpoint}/{path}" + (f"?{self.query}" if self.query else "")

    def fingerprint(self) -> dict[str, Any]:
        """The settings that could change a reply, without paths of this machine."""
        return {
            "model": _public_model(self.model),
            "endpoint": _one_spelling(self.server or self.endpoint),
            "pictures": self.pictures.as_dict(),
            "detail": self.detail,
            "system": self.system,
            "image_first": self.image_first,
            **({} if self.instruction is None else {"instruction": self.instruction.record()}),
        }


def read_settings(card: ModelCard) -> ApiSettings:
    """Read a card and its options. Raises UsageError or UnknownNameError for the first that is wrong."""
    for name in card.options:
        if name not in _OPTIONS:
            raise UnknownNameError(f"option of the model {card.name!r}:", name, _OPTIONS)
    options = dict(card.options)
    throttle = ThrottleSettings(
        concurrency=int(_number(options.pop("concurrency", 16), "concurrency", most=10_000)),
        rpm=_number(options.pop("rpm", 0), "rpm", least=0),
        tpm=_number(options.pop("tpm", 0), "tpm", least=0),
        attempts=int(_number(options.pop("attempts", 8), "attempts", most=1000)),
        backoff=_number(options.pop("backoff", 0.5), "backoff", least=0, most=_DAY_SECONDS),
        longest_wait=_number(options.pop("longest_wait", 600), "longest_wait", least=0, most=_DAY_SECONDS),
    )
    rules = PictureRules.read(
        card.images,
        jpeg75=_switch(options.pop("jpeg75", False), "jpeg75"),
        oversize=str(options.pop("oversize", "fail")),
    )
    endpoint, query = _endpoint(card)
    return ApiSettings(
        model=card.model or "auto",
        endpoint=endpoint,
        key_env=card.key_env,
        pictures=rules,
        throttle=throttle,
        timeout=_number(options.pop("timeout", 300.0), "timeout", least=0.001, most=_DAY_SECONDS),
        reply_mb=_number(options.pop("reply_mb", 16.0), "reply_mb", least=0.001, most=1000),
        detail=_choice(options.pop("detail", ""), "detail", _DETAILS),
        system=str(options.pop("system", "")),
        image_first=_switch(options.pop("image_first", True), "image_first"),
        generation=card.generation,
        server=server_of(card),
        query=query,
        headers=card.headers,
        logprobs=_switch(options.pop("logprobs", False), "logprobs"),
        allow_http=_switch(options.pop("allow_http", False), "allow_http"),
        parameters=card_parameters(options, card.generation, card.name),
    )


def read_key(settings: ApiSettings, card_name: str) -> str:
    """The key from the environment.

    Raises ModelError if the endpoint needs one and there is none, UsageError if it would be sent in clear.
    """
    name = settings.key_env
    key = os.environ.get(name, "").strip() if name else ""
    if not key:
        if not name or name == CUSTOM_KEY or is_local(settings.endpoint):
            return ""
        raise ModelError(
            f"The model {card_name!r} needs a key, and the environment variable {shown_variable(name)} "
            "is not set.",
            hint=f"Run: export {name}=…" if name.isupper() else "",
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ModelError(
            f"The environment variable {name} holds a character that no key has.", hint="Set it again."
        ) from None
    refuse_clear_text(settings.endpoint, name, card_name, allow_http=settings.allow_http)
    return key


def _endpoint(card: ModelCard) -> tuple[str, str]:
    """The address without its query, and the query; address and headers are checked."""
    refuse_secrets_of_address(card.endpoint)
    check_headers(card.headers, f"The card {card.name!r}")
    if card.key_env:
        check_variable(card.key_env, f"key_env of the card {card.name!r}")
    unset = re.search(r"\$(\w+)", card.endpoint)
    if unset:
        raise ModelError(
            f"The endpoint of the model {card.name!r} is {card.endpoint}, and the environment variable "
            f"{unset[1]} is not set.",
            hint=f"Run: export {unset[1]}=https://…",
        )
    parts = urlsplit(card.endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"The endpoint of the model {card.name!r} must begin with http:// or https://.",
            hint="Write endpoint = 'https://host/v1' in its card, or --model openai:<model>@https://host/v1.",
        )
    if parts.path.rstrip("/").endswith("/chat/completions") or parts.fragment:
        raise UsageError(
            f"The endpoint of the model {card.name!r} must be the address before /chat/completions.",
            hint="For example https://host/v1.",
        )
    return card.endpoint.partition("?")[0].rstrip("/"), parts.query


def _number(value: Any, name: str, least: float = 1, most: float = _MOST) -> float:
    require_between(f"The option {name}", value, least, most)
    return float(value)


def _switch(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"The option {name} must be true or false, got {value!r}.")
    return value


def _choice(value: Any, name: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UnknownNameError(name, value, [k for k in known if k])
    return str(value)


def _public_model(model: str) -> str:
    # A checkpoint on this disk: its name, and a digest instead of its folder.
    if not Path(model).is_absolute():
        return model
    return f"{Path(model).name}@{bytes_digest(model.encode())[:8]}"


def _one_spelling(server: str) -> str:
    # Only of this machine's servers: replies from others are stored under the address as it was written.
    return normal_endpoint(server) if is_local(server) else server
