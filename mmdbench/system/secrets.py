"""Keys, tokens and passwords: settings that hold one, and texts that must not show one."""

from __future__ import annotations

import os
import re

__all__ = ["HIDDEN", "hide", "hide_secrets", "names_secret", "secrets_of_environment"]

HIDDEN = "[hidden]"
"""The text that replaces a secret."""

# Two rules: in a card or an option the whole last word must be one of these, or else options such as
# `max_tokens` were refused; a variable of the environment is taken for a secret sooner, because there
# the only harm is a word that is hidden in a log.
_SETTING = re.compile(
    r"(?:^|[._-])(?:api[_-]?key|key|secret|password|passwd|authorization|ak|sk|token)$", re.IGNORECASE
)
_VOCABULARY = re.compile(
    r"(?:^|[._-])(?:bos|eos|pad|unk|sep|cls|mask|stop|start|end|image|img|video|audio)_token$", re.IGNORECASE
)
_VARIABLE = re.compile("KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|_AK|_SK", re.IGNORECASE)
_SHORTEST = 6


def names_secret(setting: str) -> bool:
    """True if a setting of that name holds a key or the like, rather than a token of a vocabulary.

    >>> [names_secret(key) for key in ("hf_token", "eos_token", "eos_token_id", "key_env")]
    [True, False, False, False]
    """
    return _SETTING.search(setting) is not None and _VOCABULARY.search(setting) is None


def hide(text: str, *secrets: str) -> str:
    """The text with every secret in it replaced; an empty secret hides nothing.

    >>> hide("Bearer sk-12345: no", "sk-12345")
    'Bearer [hidden]: no'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):  # one may begin with another
        text = text.replace(secret, HIDDEN)
    return text


def secrets_of_environment() -> tuple[str, ...]:
    """The values of all environment variables that are named like a key, token or password."""
    found = {value.strip() for name, value in os.environ.items() if _VARIABLE.search(name)}
    return tuple(value for value in found if len(value) >= _SHORTEST)


def hide_secrets(text: str) -> str:
    """The text with every secret of the environment replaced."""
    return hide(text, *secrets_of_environment())
