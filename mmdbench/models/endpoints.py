"""Addresses of servers: one spelling of each, and the form of them that may leave a run's folder.

A server is known by the scheme, host, port and path of its address. The hosts of the cards that come with
mmdbench are public and shown as they are. Every other address is private: it is kept in the run's folder
and shown elsewhere as a digest, such as `local-1f0c93a7`, or as the label that the option `served_by` gives.
"""

from __future__ import annotations

from functools import cache
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from mmdbench.errors import UsageError
from mmdbench.models.cards import ModelCard, shipped_cards
from mmdbench.models.folder_cards import variables_of
from mmdbench.system.digest import bytes_digest

__all__ = [
    "SERVED_BY",
    "host_label",
    "is_local",
    "normal_endpoint",
    "public_address",
    "public_name",
    "refuse_clear_text",
    "server_of",
    "short_name",
    "without_address",
]

SERVED_BY = "served_by"
"""The option of a card that names its server: a label, or the address of a server with the same model."""

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_PORTS = {"http": 80, "https": 443}


def is_local(endpoint: str) -> bool:
    """True if the endpoint is on this machine."""
    return (urlsplit(endpoint).hostname or "") in _LOCAL_HOSTS


def normal_endpoint(endpoint: str) -> str:
    """One spelling of an address: lower case, no default port, `localhost` for this machine.

    Raises UsageError if its port is no number.

    >>> normal_endpoint("HTTP://127.0.0.1:8000/v1/"), normal_endpoint("https://Host.example:443/v1")
    ('http://localhost:8000/v1', 'https://host.example/v1')
    """
    parts = urlsplit(endpoint)
    host = "localhost" if is_local(endpoint) else parts.hostname or ""
    try:
        port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    except ValueError as error:
        raise UsageError(f"The endpoint of a model must have a port from 0 to 65535: {error}.") from error
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path.rstrip('/')}{query}"


def server_of(card: ModelCard) -> str:
    """The server of a card: the label or address in `served_by`, else the card's endpoint.

    Raises UsageError if the option is no text, or an empty one.
    """
    named = card.options.get(SERVED_BY)
    if named is None:
        return card.endpoint.rstrip("/")
    if not isinstance(named, str) or not named.strip():
        raise UsageError(
            f"The option {SERVED_BY} must be a label or an address, got {named!r}.",
            hint=f"Write --set {SERVED_BY}=my-server.",
        )
    return named.strip().rstrip("/")


def public_address(server: str) -> str:
    """A server in a form that holds nothing private: a label, a public address, or a digest.

    >>> public_address("https://api.openai.com/v1"), public_address("lab-server")
    ('https://api.openai.com/v1', 'lab-server')
    >>> public_address("http://10.0.0.3:8000/v1")
    'server-384498cb'
    """
    if "://" not in server or urlsplit(server).hostname in _public_endpoints():
        return server
    return f"{'local' if is_local(server) else 'server'}-{_digest(server)}"


def short_name(name: str) -> str:
    """The name of a model for headings: without its card, provider and server, if it names a server.

    >>> short_name("openai:Qwen/Qwen3-VL-8B@http://10.0.0.3:8000/v1"), short_name("gpt-4.1")
    ('Qwen3-VL-8B', 'gpt-4.1')
    """
    if public_name(name, "server") == name:
        return name
    return PurePosixPath(name.partition("@http")[0].partition(":")[2]).name or public_name(name)


def host_label(server: str) -> str:
    """A server in one word: its label, its host if that is public, or a digest.

    A public host with another port or path than that of its card is followed by a digest.

    >>> host_label("https://api.openai.com/v1")
    'api.openai.com'
    """
    host = urlsplit(server).hostname or ""
    if "://" not in server or host not in _public_endpoints():
        return public_address(server)
    return host if normal_endpoint(server) == _public_endpoints()[host] else f"{host}-{_digest(server)}"


def public_name(name: str, served_by: str = "") -> str:
    """The name of a model without a private address in it.

    Args:
        name: The name, such as `openai:<model>@<base-url>`.
        served_by: The label of the server, in place of a digest of its address.

    Returns:
        The name.

    >>> public_name("openai:q@http://10.0.0.3:8000/v1"), public_name("gpt-4.1")
    ('openai:q@server-384498cb', 'gpt-4.1')
    """
    model, at, rest = name.partition("@http")
    if not at or "://" not in rest[:4]:
        return name
    return f"{model}@{public_address(served_by or f'http{rest}')}"


def without_address(text: str, endpoint: str) -> str:
    """The text with the host and port of a private endpoint replaced by its digest."""
    parts = urlsplit(endpoint)
    if not parts.hostname or parts.hostname in _public_endpoints():
        return text
    label = public_address(endpoint)
    return text.replace(parts.netloc, label).replace(parts.hostname, label)


def refuse_clear_text(endpoint: str, variable: str, card_name: str, *, allow_http: bool) -> None:
    """Raise UsageError if the value of an environment variable would be sent to another machine over http.

    Args:
        endpoint: The address that it is sent to.
        variable: The variable with a key, or with the value of a header.
        card_name: The model card, for messages.
        allow_http: Permit it, unless the variable is that of a card which comes with mmdbench.
    """
    if urlsplit(endpoint).scheme == "https" or is_local(endpoint):
        return
    if variable in _shipped_variables():
        raise UsageError(
            f"The model {card_name!r} would send {variable} over http, where others can read it.",
            hint="Use an https address, or set key_env to a variable with another key.",
        )
    if not allow_http:
        raise UsageError(
            f"The model {card_name!r} would send the key in {variable} over http, where others can read it.",
            hint="Use an https address; or, on a network of your own, add --set allow_http=true (for a "
            "judge: allow_http = true among the options of its card).",
        )


@cache
def _shipped_variables() -> frozenset[str]:
    return frozenset().union(*map(variables_of, shipped_cards().values()))


@cache
def _public_endpoints() -> dict[str, str]:
    """The endpoint of each public host: the first of the shipped cards that names it."""
    found: dict[str, str] = {}
    for card in shipped_cards().values():
        host = urlsplit(card.endpoint).hostname
        if host and not is_local(card.endpoint):
            found.setdefault(host, normal_endpoint(card.endpoint))
    return found


def _digest(server: str) -> str:
    return bytes_digest(normal_endpoint(server).encode())[:8]
