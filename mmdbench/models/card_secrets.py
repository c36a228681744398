"""Refusal of secrets in model cards: a card names the environment variables that hold them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

from mmdbench.errors import UsageError
from mmdbench.system.secrets import hide_secrets, holds_secret, names_secret, secrets_of_environment

__all__ = [
    "check_headers",
    "check_variable",
    "refuse_secrets",
    "refuse_secrets_of_address",
    "refuse_secrets_of_name",
    "refuse_secrets_of_settings",
    "shown_variable",
]

_PARAMETER = re.compile(
    "key|token|secret|passw|credential|authorization|signature|(?:^|[._-])(?:auth|sig|sas|code)$",
    re.IGNORECASE,
)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})", re.ASCII)
_VARIABLES = re.compile(r"\$\{?(\w+)", re.ASCII)
_USER = re.compile(r"^[^/@]*:[^/@]*@")  # in an address without its scheme
_LONGEST_PART = 15
_OWN_HEADERS = ("accept", "connection", "content-length", "content-type", "host", "transfer-encoding")


def refuse_secrets(table: Mapping[str, Any], name: str, where: str) -> None:
    """Raise UsageError if a card holds a secret instead of the name of its variable.

    Args:
        table: The card as a table.
        name: The name of the card.
        where: The file that holds the card, or `--set`.
    """
    headers, key_env = table.get("headers"), table.get("key_env")
    if isinstance(key_env, str) and key_env:
        check_variable(key_env, f"{where}: key_env of the card [{name}]")
    _refuse_fields({key: value for key, value in table.items() if key != "headers"}, name, where)
    if isinstance(headers, dict):
        check_headers(headers, f"{where}: the card [{name}]")
    options = table.get("options")
    for address in (table.get("endpoint"), options.get("served_by") if isinstance(options, dict) else None):
        if isinstance(address, str):
            refuse_secrets_of_address(address)


def refuse_secrets_of_name(name: str, option: str = "--model") -> None:
    """Raise UsageError if the name of a model, or an address in it, holds a key; its text is not shown."""
    address = re.search(r"[A-Za-z][A-Za-z0-9+.]*://.*", name, re.DOTALL)
    if address:
        refuse_secrets_of_address(address[0])
    if holds_secret(name) or _USER.search(name.partition("@")[2]):
        raise UsageError(
            f"{option} must hold no key.",
            hint="Put the key into an environment variable and name it: --set key_env=MY_KEY.",
        )


def refuse_secrets_of_settings(settings: Sequence[str]) -> None:
    """Raise UsageError if a text `key=value` holds a key; its text is not shown."""
    if any(map(holds_secret, settings)):
        raise UsageError(
            "--set must hold no key.",
            hint="Put the key into an environment variable and name it: --set key_env=MY_KEY.",
        )


def check_variable(variable: str, where: str) -> None:
    """Raise UsageError unless a text is the name of an environment variable, and no key; it is not shown.

    A part of a name between two underscores is short, unless a variable of that name is set.

    Args:
        variable: The text.
        where: The card and its field, for messages.
    """
    is_name = re.fullmatch(r"[A-Za-z_]\w*", variable, re.ASCII) is not None
    is_short = all(len(part) <= _LONGEST_PART for part in variable.split("_"))
    if not is_name or holds_secret(variable) or not (is_short or variable in os.environ):
        raise UsageError(
            f"{where} must be the name of an environment variable, and never the key itself.",
            hint="Write key_env = 'MY_KEY', and run: export MY_KEY=…",
        )


def shown_variable(variable: str) -> str:
    """The name of an environment variable in a message; not one that could be a key."""
    return variable if variable.isupper() or variable in os.environ else "that the card names"


def refuse_secrets_of_address(address: str, what: str = "The endpoint of a model") -> None:
    """Raise UsageError if an address holds a user name, a password or a key; its text is not shown.

    Args:
        address: The address.
        what: Its use, for messages.
    """
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:  # its text may hold the password
        raise UsageError(f"{what} must be an address such as https://host:8000/v1.") from None
    is_user = parts.username or parts.password or _USER.search(address)
    if is_user or any(map(names_secret, _VARIABLES.findall(address))):
        raise UsageError(
            f"{what} must hold no user name, password or key.",
            hint="Put the key into an environment variable and name it: --set key_env=MY_KEY.",
        )
    tail = f"{parts.path}?{parts.query}#{parts.fragment}"
    pairs = [unquote_plus(part).partition("=")[::2] for part in re.split(r"[/?;&#]", tail)]
    bad = next((name for name, value in pairs if value and _PARAMETER.search(name)), None)
    known = secrets_of_environment()
    is_plain = not any(secret in text for secret in known for pair in pairs for text in pair)
    if bad is None and is_plain and not holds_secret(unquote(address)):
        return
    raise UsageError(
        f"{what} must hold no key"
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
        if isinstance(value, str) and _VARIABLE.fullmatch(value):
            check_variable(value.strip("${}"), f"{where}: the value of the header {name!r}")
        else:
            raise UsageError(
                f"{where}: the value of the header {name!r} must be the name of an environment variable.",
                hint=f'Write headers = {{ {name} = "$MY_KEY" }}, and run: export MY_KEY=…',
            )


def _refuse_fields(value: Any, name: str, where: str) -> None:
    if isinstance(value, str):
        if "://" in value and not any(map(str.isspace, value)):
            refuse_secrets_of_address(value, f"{where}: an address in the card [{name}]")
        if holds_secret(value) or any(map(names_secret, _VARIABLES.findall(value))):
            raise UsageError(
                f"{where}: the card [{name}] holds a key, or would read one into another setting.",
                hint="Put the secret into an environment variable and name that: key_env = 'MY_KEY'.",
            )
    if isinstance(value, list):
        for inner in value:
            _refuse_fields(inner, name, where)
    for key, inner in value.items() if isinstance(value, dict) else ():
        if names_secret(key) or key.lower().endswith("headers"):
            raise UsageError(
                f"{where}: the card [{name}] has a field {key!r}; a card never holds a secret.",
                hint="Put the secret into an environment variable and name that: key_env = 'MY_KEY'.",
            )
        _refuse_fields(inner, name, where)
