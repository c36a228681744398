"""Guard around VLMEvalKit (the distribution `ms-vlmeval`) that undoes its changes to the process.

Importing it turns the verification of TLS certificates off for the whole process, loads a `.env`
file into the environment, configures the root logger, and switches torch's gradients off. Here its
modules are imported, and its objects used, inside `guarded`: certificates stay verified, and
afterwards environment, logging, warnings and the HTTP libraries are as before. Keys are hidden in
everything that it logs or prints.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import random
import ssl
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TextIO

from mmdbench.errors import MissingExtraError, ModelError, install_command
from mmdbench.system.secrets import HIDDEN, hide, hide_secrets, secrets_of_environment

__all__ = ["guarded", "kit_module", "kit_version"]

_HTTP = (
    ("requests.sessions", "Session"),
    ("requests.adapters", "HTTPAdapter"),
    ("urllib3.connectionpool", "HTTPSConnectionPool"),
    ("http.client", "HTTPSConnection"),
)
_FUNCTIONS = (
    *(("requests", name) for name in ("get", "post", "put", "request", "Session")),
    *(("requests.api", name) for name in ("get", "post", "put", "request")),
    ("urllib.request", "_opener"),
    ("urllib.request", "urlopen"),
)


def kit_version() -> str:
    """The installed version of ms-vlmeval; MissingExtraError without it."""
    try:
        return metadata.version("ms-vlmeval")
    except metadata.PackageNotFoundError:
        raise MissingExtraError("VLMEvalKit (ms-vlmeval)", extra="vlmeval") from None


def kit_module(name: str) -> ModuleType:
    """Import a module of VLMEvalKit, such as `vlmeval.config`, behind the guard.

    Raises MissingExtraError if it is not installed, ModelError if its import fails.
    """
    if name in sys.modules:
        return sys.modules[name]
    if find_spec("vlmeval") is None:
        raise MissingExtraError("VLMEvalKit (ms-vlmeval)", extra="vlmeval")
    with guarded(environment=True):
        try:
            return import_module(name)
        except Exception as error:  # noqa: BLE001 - foreign code, whose message may hold a key
            raise ModelError(
                f"VLMEvalKit cannot be imported: {type(error).__name__}: {hide_secrets(str(error))}.",
                hint=f"Are its own requirements installed? {install_command('vlmeval')}",
            ) from None


@contextlib.contextmanager
def guarded(*, environment: bool = False) -> Iterator[None]:
    """Undo, at the end of the block, the changes that VLMEvalKit's code made to the process.

    With `environment` the environment variables are restored as well. Everything that the block logs
    or prints goes to stderr, without keys. Only one thread at a time may use it.
    """
    before = dict(os.environ)
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())  # first: the HTTP libraries' imports set filters too
        stack.callback(_keep_tls())
        stack.callback(_keep_http())
        stack.callback(_keep_logging(secrets_of_environment()))
        stack.callback(_keep_random())
        if environment:
            stack.callback(_restore_environment, before)
        screen = _Redacting(sys.stderr)
        stack.enter_context(contextlib.redirect_stdout(screen))
        stack.enter_context(contextlib.redirect_stderr(screen))
        yield


class _Redacting(io.TextIOBase):
    """A stream that writes to another one without keys, also those from a .env file that was just read."""

    def __init__(self, to: TextIO) -> None:
        self._to = to

    def write(self, text: str) -> int:
        self._to.write(hide_secrets(text))
        return len(text)

    def flush(self) -> None:
        self._to.flush()


def _keep_tls() -> Callable[[], None]:
    saved = {
        name: getattr(ssl, name) for name in ("_create_default_https_context", "_create_unverified_context")
    }
    # Code that makes the unverified context the default one gets a context that verifies.
    ssl._create_unverified_context = ssl.create_default_context  # type: ignore[assignment]  # noqa: SLF001

    def restore() -> None:
        for name, value in saved.items():
            setattr(ssl, name, value)

    return restore


def _keep_http() -> Callable[[], None]:
    for name in {module for module, _ in (*_HTTP, *_FUNCTIONS)}:
        if find_spec(name.partition(".")[0]) is not None:
            import_module(name)
    classes = [
        (getattr(sys.modules[module], name), dict(vars(getattr(sys.modules[module], name))))
        for module, name in _HTTP
        if hasattr(sys.modules.get(module), name)
    ]
    functions = [
        (sys.modules[module], name, getattr(sys.modules[module], name))
        for module, name in _FUNCTIONS
        if hasattr(sys.modules.get(module), name)
    ]

    def restore() -> None:
        for module, name, value in functions:
            setattr(module, name, value)
        for cls, attributes in classes:
            for name in [n for n in vars(cls) if n not in attributes]:
                delattr(cls, name)
            for name, value in attributes.items():
                if vars(cls).get(name) is not value:
                    setattr(cls, name, value)

    return restore


def _keep_logging(secrets: tuple[str, ...]) -> Callable[[], None]:
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, logging.root.manager.disable
    factory = logging.getLogRecordFactory()

    def redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        try:
            _redact(record, secrets + secrets_of_environment())
        except Exception:  # noqa: BLE001 - logging must not fail where it would not without us
            record.msg, record.args, record.exc_info = HIDDEN, (), None
        return record

    logging.setLogRecordFactory(redacted)

    def restore() -> None:
        logging.setLogRecordFactory(factory)
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)

    return restore


def _redact(record: logging.LogRecord, known: tuple[str, ...]) -> None:
    try:
        record.msg, record.args = hide(record.getMessage(), *known), ()
    except Exception:  # noqa: BLE001 - a message that does not fit its arguments
        record.msg, record.args = hide(f"{record.msg} {record.args}", *known), ()
    if record.exc_info and record.exc_info[1] is not None:
        kind, error = type(record.exc_info[1]).__name__, record.exc_info[1]
        record.exc_text = hide(f"{kind}: {error}", *known)  # instead of a traceback, which no one redacts


def _keep_random() -> Callable[[], None]:
    state = random.getstate()
    numpy: Any = sys.modules.get("numpy")
    drawn = numpy.random.get_state() if numpy else None
    torch: Any = sys.modules.get("torch")
    seeded = torch.get_rng_state() if torch else None
    on_devices = torch.cuda.get_rng_state_all() if torch and torch.cuda.is_initialized() else None
    gradients = torch.is_grad_enabled() if torch else True

    def restore() -> None:
        random.setstate(state)
        if drawn is not None:
            numpy.random.set_state(drawn)
        now: Any = sys.modules.get("torch")
        if now is not None:
            now.set_grad_enabled(gradients)
            if seeded is not None:
                now.set_rng_state(seeded)
            if on_devices is not None:
                now.cuda.set_rng_state_all(on_devices)

    return restore


def _restore_environment(before: dict[str, str]) -> None:
    for name in [name for name in os.environ if name not in before]:
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
