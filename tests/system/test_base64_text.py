"""Base64: the same with and without pybase64."""

from __future__ import annotations

import base64
import binascii
import importlib
import sys

import pytest

from mmdbench.system import base64_text


@pytest.fixture(params=[True, False])
def codec(request, monkeypatch):
    if request.param:
        pytest.importorskip("pybase64")
    else:
        monkeypatch.setitem(sys.modules, "pybase64", None)
    return importlib.reload(base64_text)  # it looks for the package once


@pytest.mark.parametrize("data", [b"", b"a", b"ab", bytes(range(256)) * 40])
def test_there_and_back(codec, data):
    assert codec.encode(data) == base64.b64encode(data)
    assert codec.decode_strict(base64.b64encode(data)) == data


@pytest.mark.parametrize("text", [b"QQ", b"QQ=", b"QQ==QQ==", b"Q Q=", b"QQ==\n", b"Q\xff==", b"Q-_="])
def test_other_text_is_refused(codec, text):
    with pytest.raises(binascii.Error):
        codec.decode_strict(text)
