"""Keys, tokens and passwords: settings that hold one, and texts that must not show one."""

from __future__ import annotations

import os
import re

__all__ = [
    "HIDDEN",
    "error_text",
    "hide",
    "hide_in_addresses",
    "hide_in_options",
    "hide_secrets",
    "holds_secret",
    "names_secret",
    "secrets_of_environment",
]

HIDDEN = "[hidden]"
"""The text that replaces a secret."""

# Two rules: in a card or an option the whole last word must be one of these, or else options such as
# `max_tokens` were refused; a variable of the environment is taken for a secret sooner, because there
# the only harm is a word that is hidden in a log.
_SETTING = re.compile(
    r"(?:^|[._-])(?:api[_-]?key|key|secret|password|passwd|passphrase|authorization|auth|bearer|cookie|credentials?"
    r"|ak|sk|token)$",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_VOCABULARY = re.compile(
    r"(?:^|[._-])(?:bos|eos|pad|unk|sep|cls|mask|stop|start|end|image|img|video|audio)_token$", re.IGNORECASE
)
_VARIABLE = re.compile("KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|_AK|_SK", re.IGNORECASE)
_SHORTEST = 6
_SHORTEST_REFUSED = 16  # a shorter value of the environment may be an ordinary word
_SHAPE = re.compile(
    r"(?<![\w-])(?:(?:sk|xai)-(?=[\w-]*\d)[\w-]{16,}|(?:hf|gsk|ghp|gho|github_pat)_\w{20,}"
    r"|AKIA[0-9A-Z]{16}|AIza[\w-]{30,})",
    re.ASCII,
)
"""Keys of OpenAI, Anthropic, xAI, the Hugging Face Hub, Groq, GitHub, Amazon and Google."""

_PASSWORD = re.compile(r"(?<=://)[^/\s:@'\"<>]*:[^\s'\"<>]*@|(?<=@)[^/\s:@'\"<>]*:[^/\s@'\"<>]*@")
_PARAMETER = re.compile(
    r"([?&][^=&\s]*(?:key|token|secret|passw|credential|signature|sig)=)[^&\s'\"<>]+", re.IGNORECASE
)
_IN_ADDRESS = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_OPTION = re.compile(r"(--?([A-Za-z][\w-]*)(?:=|\s+))[^\s'\"]+")


def names_secret(setting: str) -> bool:
    """True if a setting of that name holds a key or the like, rather than a token of a vocabulary.

    >>> [names_secret(key) for key in ("hf_token", "eos_token", "eos_token_id", "key_env")]
    [True, False, False, False]
    """
    return _SETTING.search(_CAMEL.sub("_", setting)) is not None and _VOCABULARY.search(setting) is None


def holds_secret(text: str) -> bool:
    """True if a text has the shape of a provider's key, or the value of a variable that is named like one.

    >>> [holds_secret(text) for text in ("sk-proj-0123456789abcdef", "sk-learn", "$MY_KEY")]
    [True, False, False]
    """
    values = (value.strip() for name, value in os.environ.items() if names_secret(name))
    return _SHAPE.search(text) is not None or any(
        len(value) >= _SHORTEST_REFUSED and value in text for value in values
    )


def hide_in_addresses(text: str) -> str:
    """The text without the users, passwords and keys of the addresses in it.

    >>> hide_in_addresses("no https://me:pw@host/v1?api-key=abc&v=1")
    'no https://[hidden]@host/v1?api-key=[hidden]&v=1'
    """
    return _PARAMETER.sub(rf"\1{HIDDEN}", _PASSWORD.sub(f"{HIDDEN}@", text))


def hide_in_options(command: str) -> str:
    """A command without the values of options that are named like a key.

    >>> hide_in_options("vllm serve m --api-key abc --max-num-batched-tokens 9")
    'vllm serve m --api-key [hidden] --max-num-batched-tokens 9'
    """
    return _OPTION.sub(lambda found: f"{found[1]}{HIDDEN}" if names_secret(found[2]) else found[0], command)


def hide(text: str, *secrets: str) -> str:
    """The text with every secret in it replaced; an empty secret hides nothing.

    >>> hide("Bearer sk-12345: no", "sk-12345")
    'Bearer [hidden]: no'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):  # one may begin with another
        text = text.replace(secret, HIDDEN)
    return text


def secrets_of_environment() -> tuple[str, ...]:
    """The values of variables that are named like a key, and the passwords in other variables' addresses."""
    found = {value.strip() for name, value in os.environ.items() if _VARIABLE.search(name)}
    found |= {password for value in os.environ.values() for password in _IN_ADDRESS.findall(value)}
    return tuple(value for value in found if len(value) >= _SHORTEST)


def hide_secrets(text: str) -> str:
    """The text with every secret of the environment replaced."""
    return hide(text, *secrets_of_environment())


def error_text(error: BaseException) -> str:
    """The type and text of an exception of foreign code, without secrets of the environment and of addresses.

    >>> error_text(OSError("no https://me:pw@host/v1"))
    'OSError: no https://[hidden]@host/v1'
    """
    return f"{type(error).__name__}: {hide_secrets(hide_in_addresses(str(error)))}"
