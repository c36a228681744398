"""Cards of the working folder, and what they may do without `--model-card`.

A `models.toml` in the working folder may come with files that somebody else wrote. Its cards may have new
names and be asked at addresses of their own. Those that take the place of a card that comes with mmdbench,
send a known key to another server, read a file into the prompt or run code are refused unless `--model-card`
names the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from mmdbench.errors import UsageError

__all__ = [
    "FOLDER_FILE",
    "Card",
    "announcement",
    "needs_model_card",
    "refuse_untrusted",
    "replaces_shipped",
    "variables_of",
]

FOLDER_FILE = "models.toml"
"""The file with cards in the working folder."""

# Their libraries get a card's settings as they are, and some of these load code, or choose the server that a
# key of the environment is sent to.
_PASS_SETTINGS_ON = ("litellm", "vlmeval", "vllm_offline")
# Keys that belong to no server of a card: of a `--model …@<base-url>`, of downloads and of remote storage.
_NEVER_SENT = (
    *("MMDBENCH_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"),
    *("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_CONNECTION_STRING"),
    *("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS"),
)
_PARTS_OF_ADDRESSES = ("OPENAI_API_VERSION",)  # other variables are whole addresses, or would be given away
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


class Card(Protocol):
    """The fields of a model card that decide what it may reach."""

    @property
    def adapter(self) -> str:
        """The adapter: a name, or a Python file."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the adapter."""
        ...

    @property
    def endpoint(self) -> str:
        """The address of the server."""
        ...

    @property
    def key_env(self) -> str:
        """The environment variable with the key."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, whose values name environment variables."""
        ...


def variables_of(card: Card) -> frozenset[str]:
    """The environment variables whose values a card sends as key or headers."""
    headers = (name for value in card.headers.values() for name in _VARIABLE.findall(str(value)))
    return frozenset(filter(None, (card.key_env, *headers)))


def replaces_shipped(name: str, shipped: Iterable[str]) -> bool:
    """True if a card of that name is found where a card that comes with mmdbench is meant.

    >>> [replaces_shipped(name, ["openai"]) for name in ("openai", "openai:gpt-9", "my-openai")]
    [True, True, False]
    """
    return name.partition(":")[0] in shipped


def refuse_untrusted(name: str, written: Card, asked: Card, known: Iterable[Card]) -> None:
    """Raise UsageError if a card of the working folder does what only `--model-card` permits.

    Args:
        name: The name of the card.
        written: The card as the file has it.
        asked: The card as it will be asked: with its model, address and variables in place.
        known: The cards that come with mmdbench and the user's own, likewise in place.
    """
    if written.adapter.endswith(".py"):
        raise needs_model_card(name, f"runs the code in {written.adapter}")
    if written.adapter in _PASS_SETTINGS_ON:
        raise needs_model_card(name, f"gives settings to the adapter {written.adapter}, which may run code")
    if "instruction_file" in written.options:
        raise needs_model_card(name, "sends the content of a file with every question")
    known = list(known)
    for variable in sorted(variables_of(written) & variables_of(asked)):
        owners = [card for card in known if variable in variables_of(card)]
        servers = {_server(card) for card in owners} - {None}
        if (owners or variable in _NEVER_SENT) and _server(asked) not in servers:
            place = urlsplit(asked.endpoint).hostname or "a server that it does not name"
            raise needs_model_card(name, f"sends {variable} to {place}")
    for variable in _VARIABLE.findall(written.endpoint):
        is_address = re.match(rf"\$\{{?{variable}\b", written.endpoint) is not None
        if not is_address and variable not in _PARTS_OF_ADDRESSES:
            raise needs_model_card(name, f"puts the value of {variable} into an address")


def announcement(name: str, asked: Card) -> str:
    """A sentence on a card of the working folder: where it is asked and with which variables."""
    place = urlsplit(asked.endpoint)
    where = f", is asked at {place.scheme}://{place.netloc}" if place.hostname else ""
    sent = ", ".join(sorted(variables_of(asked)))
    return (
        f"the card {name} is from {FOLDER_FILE} in this folder{where}{f' and sends {sent}' if sent else ''}"
    )


def needs_model_card(name: str, what: str) -> UsageError:
    """The error of a card that does something which needs `--model-card`."""
    return UsageError(
        f"The card {name!r} of {FOLDER_FILE} in this folder {what}.",
        hint=f"Read the file; if you trust it, add --model-card {FOLDER_FILE}.",
    )


def _server(card: Card) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of a card's endpoint; None without one."""
    parts = urlsplit(card.endpoint)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:  # no number: the adapter refuses it
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None
