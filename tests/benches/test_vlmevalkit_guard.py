"""VLMEvalKit's import and its models leave the process as it was, and keys stay hidden."""

from __future__ import annotations

import http.client
import logging
import os
import random
import ssl
import sys
import urllib.request
import warnings

import numpy as np
import pytest
from typer.testing import CliRunner

from mmdbench.benches import expand_benches, open_bench
from mmdbench.benches.vlmevalkit_guard import guarded, kit_module
from mmdbench.cli import app
from mmdbench.errors import MissingExtraError, ModelError
from mmdbench.models.cards import find_card
from mmdbench.system.secrets import HIDDEN, hide_secrets

SECRET = "sk-abcdef-123456"

EVIL = f"""
import http.client, logging, os, ssl, sys, random, urllib.request, warnings
ssl._create_default_https_context = ssl._create_unverified_context
SEEN = ssl._create_default_https_context()
logging.basicConfig(level=logging.DEBUG)
os.environ["MY_API_KEY"] = "{SECRET}"
os.environ.pop("KEPT", None)
http.client.HTTPSConnection.connect = lambda self: None
http.client.HTTPSConnection.added = 1
urllib.request.urlopen = None
warnings.simplefilter("ignore")
random.seed(1)
import numpy
numpy.random.seed(1)
print("the key is", os.environ["MY_API_KEY"])
print("on stderr: {SECRET}", file=sys.stderr)
logging.getLogger("kit").error("using %s", "{SECRET}")
try:
    raise ValueError("no access with {SECRET}")
except ValueError:
    logging.getLogger("kit").exception("failed with {SECRET}")
"""


def https_contexts():
    """The functions that make the contexts of HTTPS, which VLMEvalKit replaces although they are private."""
    return ssl._create_default_https_context, ssl._create_unverified_context  # noqa: SLF001 - see above


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """A package that behaves as VLMEvalKit does, and worse."""

    def make(code=EVIL):
        (tmp_path / "vlmeval").mkdir()
        (tmp_path / "vlmeval" / "__init__.py").write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path))
        for name in [n for n in sys.modules if n.partition(".")[0] == "vlmeval"]:
            monkeypatch.delitem(sys.modules, name)

    yield make
    for name in [n for n in sys.modules if n.partition(".")[0] == "vlmeval"]:
        del sys.modules[name]


def test_importing_leaves_the_process_as_it_was(kit, capsys, monkeypatch) -> None:
    monkeypatch.setenv("KEPT", "kept")
    monkeypatch.delenv("MY_API_KEY", raising=False)
    root = logging.getLogger()
    handlers, level, filters = list(root.handlers), root.level, list(warnings.filters)
    connect, urlopen = http.client.HTTPSConnection.connect, urllib.request.urlopen
    contexts = https_contexts()
    factory, state = logging.getLogRecordFactory(), random.getstate()
    drawn = np.random.get_state()[1].copy()
    kit()
    module = kit_module("vlmeval")
    assert module.SEEN.verify_mode == ssl.CERT_REQUIRED  # not even during the import
    assert module.SEEN.check_hostname
    assert https_contexts() == contexts
    assert contexts[0]().verify_mode == ssl.CERT_REQUIRED
    assert "MY_API_KEY" not in os.environ
    assert os.environ["KEPT"] == "kept"
    assert (root.handlers, root.level) == (handlers, level)
    assert logging.getLogRecordFactory() is factory
    assert http.client.HTTPSConnection.connect is connect
    assert not hasattr(http.client.HTTPSConnection, "added")
    assert urllib.request.urlopen is urlopen
    assert warnings.filters == filters
    assert random.getstate() == state
    assert (np.random.get_state()[1] == drawn).all()


def test_keys_reach_neither_prints_nor_logs(kit, capsys, caplog) -> None:
    kit()
    kit_module("vlmeval")
    seen = capsys.readouterr()
    assert SECRET not in seen.out + seen.err
    assert f"the key is {HIDDEN}" in seen.err
    assert not seen.out  # what it prints would spoil --json
    assert SECRET not in caplog.text
    assert f"using {HIDDEN}" in caplog.text
    assert f"failed with {HIDDEN}" in caplog.text


@pytest.mark.parametrize("kind", ["ImportError", "RuntimeError", "OSError", "AttributeError"])
def test_a_failing_import_is_an_error_without_keys(kit, monkeypatch, kind) -> None:
    monkeypatch.setenv("SOME_TOKEN", SECRET)
    kit(f"import ssl\nssl._create_default_https_context = None\nraise {kind}('no module, key {SECRET}')")
    before = https_contexts()
    with pytest.raises(ModelError, match=rf"{kind}: no module.*mmdbench\[vlmeval\]") as caught:
        kit_module("vlmeval")
    assert SECRET not in str(caught.value)
    assert https_contexts() == before


def test_the_guard_holds_when_the_block_fails() -> None:
    before = https_contexts()

    def spoil():
        with guarded(environment=True):
            ssl._create_default_https_context = None  # noqa: SLF001 - what VLMEvalKit replaces
            os.environ["LEFT_BEHIND"] = "1"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spoil()
    assert https_contexts() == before
    assert "LEFT_BEHIND" not in os.environ


def test_longer_keys_are_hidden_whole(monkeypatch) -> None:
    monkeypatch.setenv("A_KEY", "abcdef")
    monkeypatch.setenv("B_KEY", "abcdef-ghijkl")
    monkeypatch.setenv("C_KEY", "yes")  # too short to be one, and a word of every text
    assert hide_secrets("abcdef-ghijkl, abcdef, yes") == f"{HIDDEN}, {HIDDEN}, yes"


class Unprintable:
    """An argument that fails whenever it is written."""

    def __str__(self) -> str:
        raise LookupError(SECRET)

    __repr__ = __str__


def test_a_logged_message_that_does_not_fit_its_arguments_is_still_redacted(monkeypatch, caplog) -> None:
    monkeypatch.setenv("A_KEY", SECRET)
    with guarded():
        logging.getLogger("kit").warning("%d of", SECRET)
        logging.getLogger("kit").warning("%(model)s of", {"name": SECRET})
        logging.getLogger("kit").warning("%s of", Unprintable())
        logging.getLogger("kit").warning("the last")
    assert SECRET not in caplog.text
    assert "the last" in caplog.text


@pytest.mark.parametrize("name", ["vlmeval:Qwen2.5-VL-3B-Instruct", "vlmeval"])
def test_without_vlmevalkit_the_extra_is_named(name, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    from mmdbench.adapters import vlmeval

    card = find_card(name)
    with pytest.raises(
        MissingExtraError if ":" in name else Exception,
        match=r"mmdbench\[vlmeval\]|needs the name of a model",
    ):
        vlmeval.load(card)


def test_datasets_of_vlmevalkit_pass_through_names(monkeypatch) -> None:
    assert expand_benches("vlmeval:AI2D_TEST, MMVP") == ("vlmeval:AI2D_TEST", "MMVP")
    monkeypatch.setattr("mmdbench.benches.vlmevalkit_guard.find_spec", lambda *_: None)
    monkeypatch.delitem(sys.modules, "vlmeval.dataset", raising=False)
    with pytest.raises(MissingExtraError, match=r"mmdbench\[vlmeval\]"):
        open_bench("vlmeval:AI2D_TEST")


def test_the_card_is_listed() -> None:
    done = CliRunner().invoke(app, ["list", "models"])
    assert done.exit_code == 0
    assert "vlmeval" in done.output
