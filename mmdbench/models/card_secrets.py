"""Refusal of secrets in model cards: a card names the environment variables that hold them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mmdbench.errors import UsageError
from mmdbench.system.secrets import hide_secrets, names_secret

__all__ = ["check_headers", "refuse_secrets", "refuse_secrets_of_address"]

_PARAMETER = re.compile(
    "key|token|secret|passw|credential|authorization|signature|(?:^|[._-])(?:auth|sig|sas|code)$",
    re.IGNORECASE,
)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})", re.ASCII)
_OWN_HEADERS = ("accept", "connection", "content-length", "content-type", "host", "transfer-encoding")


def refuse_secrets(table: Mapping[str, Any], name: str, where: str) -> None:
    """Raise UsageError if a card holds a secret instead of the name of its variable.

    Args:
        table: The card as a table.
        name: The name of the card.
        where: The file that holds the card, or `--set`.
    """
    headers = table.get("headers")
    _refuse_fields({key: value for key, value in table.items() if key != "headers"}, name, where)
    if isinstance(headers, dict):
        check_headers(headers, f"{where}: the card [{name}]")
    options = table.get("options")
    for address in (table.get("endpoint"), options.get("served_by") if isinstance(options, dict) else None):
        if isinstance(address, str):
            refuse_secrets_of_address(address)


def refuse_secrets_of_address(address: str) -> None:
    """Raise UsageError if an address holds a user name, a password or a key; its text is not shown."""
    parts = urlsplit(address)
    if parts.username or parts.password:
        raise UsageError(
            "The endpoint of a model must hold no user name, password or key.",
            hint="Put the key into an environment variable and name it: --set key_env=MY_KEY.",
        )
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    bad = next((name for name, _ in pairs if _PARAMETER.search(name)), None)
    if bad is None and all(hide_secrets(text) == text for pair in pairs for text in pair):
        return
    raise UsageError(
        "The endpoint of a model must hold no key"
        + (f", and the parameter {hide_secrets(bad)[:40]!r} of its query names one." if bad else "."),
        hint="Send it in a header, from an environment variable: --set 'headers.api-key=$MY_KEY'.",
    )


def check_headers(headers: Mapping[str, Any], where: str) -> None:
    """Raise UsageError unless each header has a name and its value is an environment variable, as `$NAME`.

    Args:
        headers: Names and values.
        where: The card, for messages; values are not shown.
    """
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise UsageError(f"{where} has a header {name!r}, which a card cannot set.")
        if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
            raise UsageError(
                f"{where}: the value of the header {name!r} must be the name of an environment variable.",
                hint=f'Write headers = {{ {name} = "$MY_KEY" }}, and run: export MY_KEY=…',
            )


def _refuse_fields(value: Any, name: str, where: str) -> None:
    if isinstance(value, list):
        for inner in value:
            _refuse_fields(inner, name, where)
    for key, inner in value.items() if isinstance(value, dict) else ():
        if names_secret(key):
            raise UsageError(
                f"{where}: the card [{name}] has a field {key!r}; a card never holds a secret.",
                hint="Put the secret into an environment variable and name that: key_env = 'MY_KEY'.",
            )
        _refuse_fields(inner, name, where)
