"""All of `mini`, asked by one command at providers of five kinds, played by servers on this machine."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from typer.testing import CliRunner

from batch_endpoint import BatchEndpoint
from canary_reader import read
from faulty_server import FaultyServer, gateway_refusal, refusing, true_answer
from mmdbench.cli import app
from optional_packages import needs

pytestmark = needs("openai")

QUESTIONS = 160
MODERATED = {"message": "Provider returned error", "code": 403, "metadata": {"flagged_input": "a picture"}}
REFUSED = "Is there a bicycle in the picture?"


def answer(prompt, images):
    """The digits in a picture of the canary, and a letter for other pictures."""
    return read(images[0]) if prompt.startswith("Read the picture") else true_answer(prompt, images)


def moderated(call):
    return (403, {"error": MODERATED}, {}) if REFUSED in call.prompt else "ok"


PROVIDERS = {
    "chat": (lambda call: "ok", "openai:toy-1@{url}", {"max_tokens", "temperature"}),
    "reasoning": (refusing("max_tokens", "temperature"), "openai:toy-1@{url}", {"max_completion_tokens"}),
    "gateway": (
        refusing("temperature", form=gateway_refusal, otherwise=moderated),
        "openai:toy-1@{url}",
        {"max_tokens"},
    ),
    "azure": (lambda call: "ok", "azure-dated:toy-1", {"max_tokens", "temperature"}),
    "batch": (lambda call: "ok", "openai:toy-1@{url}", {"max_tokens", "temperature"}),
}


@pytest.mark.parametrize("kind", PROVIDERS)
def test_mini_is_asked_to_the_end(kind, tmp_path, monkeypatch):
    behave, model, settings = PROVIDERS[kind]
    monkeypatch.chdir(tmp_path)
    batches = BatchEndpoint(looks=0) if kind == "batch" else None
    with FaultyServer(behave, answer=answer, batches=batches) as server:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.url.removesuffix("/v1"))
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", "azure-secret-0123456789")
        monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
        words = ["eval", "--model", model.format(url=server.url), "--bench", "mini", "--level", "clean"]
        result = CliRunner().invoke(app, [*words, "-o", "run", *["--batch"] * (kind == "batch")])
    assert result.exit_code == 0, result.output
    replies = [json.loads(line) for line in (tmp_path / "run/replies-0.jsonl").read_text().splitlines()]
    assert len({reply["key"] for reply in replies}) == QUESTIONS
    refused = sum(REFUSED in call.prompt for call in server.calls if call.outcome == "403")
    assert Counter(reply["status"] for reply in replies) == Counter(ok=QUESTIONS - refused, refused=refused)
    assert bool(refused) == (kind == "gateway")
    assert all(("batch" in reply["details"]) == (kind == "batch") for reply in replies)
    last = server.calls[-1]
    assert set(last.body) - {"model", "messages"} == settings
    assert ("api-version=2024-10-21" in last.path) == (kind == "azure")
    written = "".join(path.read_text() for path in (tmp_path / "run").iterdir() if path.is_file())
    assert "azure-secret-0123456789" not in written
