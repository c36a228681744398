"""Requests of every shipped form of an API model, as a server gets them.

The page `docs/models.md` holds the table that is made here; `MMDBENCH_UPDATE=1` writes it.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from faulty_server import FaultyServer, refusing
from mmdbench.models import open_model
from mmdbench.models.cards import find_card, shipped_cards
from mmdbench.records import ImageBytes, Request
from optional_packages import needs
from pictures import picture, png

pytestmark = needs("openai")

PAGE = Path(__file__).parents[2] / "docs/models.md"
BEGIN = "<!-- made by tests/adapters/test_sent_matrix.py -->\n"
END = "<!-- end of the matrix -->\n"
PICTURE = ImageBytes(png(picture(1, 16, 16)), "image/png")
HEAD = """| `--model` | key | address | with each request | where `max_tokens` and `temperature` are refused |
| --- | --- | --- | --- | --- |
"""


def forms():
    """(card, names) for each form: the cards of one kind together."""
    found = {}
    for name, shipped in shipped_cards().items():
        if shipped.adapter == "openai":
            card = find_card(name if shipped.model else f"{name}:MODEL")
            kind = (card.endpoint, card.key_env, repr(card.generation), repr(card.options))
            found.setdefault(kind, (card, []))[1].append(name if shipped.model else f"{name}:MODEL")
    return found.values()


def asked(card, server):
    """The last call that the server got for one request of the card."""
    parts = urlsplit(card.endpoint)
    root = server.url.removesuffix("/v1")
    place = f"{root}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    model = open_model(replace(card, endpoint=place))

    async def ask():
        try:
            await model.agenerate(Request("k", "Q?", "Q?", {}, (PICTURE,), 0, card.generation))
        finally:
            await model.aclose()

    asyncio.run(ask())
    return server.calls[-1]


def settings(call):
    return {name: value for name, value in call.body.items() if name not in ("model", "messages")}


def detail(call):
    part = next(p for p in call.body["messages"][-1]["content"] if p["type"] == "image_url")
    return {"detail": part["image_url"]["detail"]} if "detail" in part["image_url"] else {}


def spelled(found):
    return ", ".join(f"`{name}={value}`" for name, value in found.items()) or "nothing"


def variables(card):
    """The environment variables that hold the keys of a card."""
    return [card.key_env] * bool(card.key_env) + [value[1:] for value in card.headers.values()]


@pytest.fixture
def _keys(monkeypatch):
    for card in shipped_cards().values():
        for name in re.findall(r"\$(\w+)", card.endpoint):
            monkeypatch.setenv(name, "https://HOST" if card.endpoint.startswith(f"${name}") else name.lower())
        for name in variables(card):
            monkeypatch.setenv(name, f"key-{name}")


@pytest.mark.usefixtures("_keys")
def test_the_page_shows_what_each_form_sends():
    lines = []
    with FaultyServer() as server, FaultyServer(refusing("max_tokens", "temperature")) as strict:
        for card, names in forms():
            call, later = asked(card, server), asked(card, strict)
            assert settings(call) == card.generation
            assert {"max_tokens", "temperature"}.isdisjoint(settings(later))
            keys = variables(card)
            assert all(f"key-{name}".lower() in str(call.headers) for name in keys)
            key = ", ".join(f"`{name}`" for name in keys) or "none"
            shown = spelled(settings(call) | detail(call))
            after = spelled(settings(later) | detail(later))
            model = ", ".join(f"`{name}`" for name in names)
            address = f"{urlsplit(card.endpoint).netloc}{call.path}"
            after = "the same" if after == shown else after
            lines.append(f"| {model} | {key} | `{address}` | {shown} | {after} |")
    made = HEAD + "\n".join(lines) + "\n"
    text = PAGE.read_text("utf-8")
    head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    if os.environ.get("MMDBENCH_UPDATE"):
        PAGE.write_text(head + made + tail, "utf-8")
    assert PAGE.read_text("utf-8") == head + made + tail, "MMDBENCH_UPDATE=1 makes the page again"
