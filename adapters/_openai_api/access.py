"""Access to an endpoint: its key and headers, read from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mmdbench.errors import ModelError
from mmdbench.models.card_secrets import shown_variable
from mmdbench.models.endpoints import refuse_clear_text
from mmdbench.models.failures import short_reason
from mmdbench.system.secrets import hide, hide_in_addresses, hide_secrets

from .settings import ApiSettings, read_key

__all__ = ["OPENAI_VARIABLES", "Access", "address_advice", "is_openai", "read_access"]

_BASE_URL = "OPENAI_BASE_URL"
_CUSTOM_HEADERS = "OPENAI_CUSTOM_HEADERS"
OPENAI_VARIABLES = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", _CUSTOM_HEADERS)
"""Variables whose values the openai client sends with every request."""

_OF_OPENAI = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}


@dataclass(frozen=True, repr=False)
class Access:
    """The key of an endpoint and the headers of its card, with their values.

    `of_openai` are the headers of the environment for OpenAI's own hosts.
    """

    key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    of_openai: Mapping[str, str] = field(default_factory=dict)

    @property
    def values(self) -> tuple[str, ...]:
        """The values of all headers."""
        return (*self.headers.values(), *self.of_openai.values())

    def hidden(self, text: str) -> str:
        """The text without the values of headers."""
        return hide(text, *self.values)

    def reason(self, text: str) -> str:
        """The text as a reason of a failure: short, without key and values of headers."""
        return short_reason(hide_secrets(hide_in_addresses(self.hidden(text))), self.key)


def read_access(settings: ApiSettings, card_name: str) -> Access:
    """Read key and headers from the environment.

    Args:
        settings: The settings of the server.
        card_name: The model card, for messages.

    Returns:
        The key, which is empty if the endpoint needs none, and the headers.

    Raises:
        ModelError: A variable is not set, or holds what no header can; or OPENAI_BASE_URL names another
            address than a card of OpenAI.
        UsageError: A value would be sent in clear text.
    """
    if is_openai(settings.endpoint):
        _refuse_other_address(settings.endpoint, card_name)
    headers = {name: _value(name, variable, card_name) for name, variable in settings.headers.items()}
    for variable in settings.headers.values():
        refuse_clear_text(settings.endpoint, variable.strip("${}"), card_name, allow_http=settings.allow_http)
    return Access(read_key(settings, card_name), headers, _openai_headers(settings.endpoint))


def is_openai(endpoint: str) -> bool:
    """True if the endpoint is one of OpenAI's own: `api.openai.com` or that of a region."""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" and f".{parts.hostname}".endswith(".api.openai.com")


def address_advice(settings: ApiSettings) -> str:
    """A sentence on the address of a server that does not know it; empty if the address looks right."""
    path = urlsplit(settings.endpoint).path
    if "/deployments/" in path:
        return "" if settings.query else "Azure needs its version in the address: …?api-version=<date>"
    if re.search(r"/v\d", path):
        return ""
    return f"Most servers answer below /v1: try {settings.endpoint}/v1"


def _refuse_other_address(endpoint: str, card_name: str) -> None:
    given = os.environ.get(_BASE_URL, "").strip().rstrip("/")
    if given and given != endpoint:
        raise ModelError(
            f"The environment variable {_BASE_URL} names another address than the card {card_name!r}, "
            f"which is asked at {endpoint}.",
            hint=f'Ask there with --set endpoint="${_BASE_URL}", or run: unset {_BASE_URL}',
        )


def _value(name: str, variable: str, card_name: str) -> str:
    variable = variable.strip("${}")
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ModelError(
            f"The model {card_name!r} needs the header {name!r}, and the environment variable "
            f"{shown_variable(variable)} is not set.",
            hint=f"Run: export {variable}=…" if variable.isupper() else "",
        )
    if not value.isascii() or not value.isprintable():
        raise ModelError(
            f"The environment variable {variable} holds a character that no header has.", hint="Set it again."
        )
    return value


def _openai_headers(endpoint: str) -> dict[str, str]:
    """The headers that the variables of OpenAI's own client name; empty for other hosts."""
    if not is_openai(endpoint):
        return {}
    given = {name: os.environ.get(variable, "").strip() for name, variable in _OF_OPENAI.items()}
    for line in os.environ.get(_CUSTOM_HEADERS, "").split("\n"):
        name, _, value = line.partition(":")
        given[name.strip()] = value.strip()
    return {name: value for name, value in given.items() if name and value}
