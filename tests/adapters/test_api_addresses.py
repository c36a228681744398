"""Addresses, headers and variables of an API: one client for all requests, no secret in a wrong place."""

from __future__ import annotations

import asyncio
import json
import traceback
from dataclasses import replace

import pytest
from mmdbench.adapters._openai_api.access import is_openai, read_access
from mmdbench.adapters._openai_api.response import outcome_of
from mmdbench.adapters._openai_api.settings import read_settings
from typer.testing import CliRunner

from batch_endpoint import BatchEndpoint
from faulty_server import FaultyServer, completion
from mmdbench.cli import app
from mmdbench.errors import ModelError, UsageError
from mmdbench.models import open_model
from mmdbench.models.cards import ModelCard, find_card, read_cards, set_options, shipped_cards
from mmdbench.models.failures import AttemptError
from mmdbench.records import Request
from mmdbench.results.judging.open import open_judge
from mmdbench.scoring import JudgeCall
from pictures import write_many

SECRET = "azure-secret-0123456789"
OPENAIS = {
    "OPENAI_API_KEY": "sk-of-openai-itself",
    "OPENAI_ORG_ID": "org-secret",
    "OPENAI_PROJECT_ID": "proj-secret",
    "OPENAI_CUSTOM_HEADERS": "X-Gateway: gateway-secret\nAuthorization: Bearer other-secret",
}
DEPLOYMENT = "/openai/deployments/toy"
VERSION = "api-version=2024-10-21"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("OPENAI_BASE_URL", "MMDBENCH_API_KEY", *OPENAIS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def many(tmp_path):
    return lambda rows: write_many(tmp_path / "many.tsv", rows)


def card_for(server, **fields):
    return ModelCard("toy", "openai", **{"model": "toy-1", "endpoint": server.url, **fields})


def ask(card):
    async def once():
        model = open_model(card)
        try:
            return await model.agenerate(Request("k", "Question 1?", "Question 1?", {}, ()))
        finally:
            await model.aclose()

    return asyncio.run(once())


async def look_for_batches(card):
    batches = open_model(card).batches()
    try:
        await batches.check()
    finally:
        await batches.aclose()


def azure(server, **fields):
    endpoint = f"{server.url.removesuffix('/v1')}{DEPLOYMENT}?{VERSION}"
    return card_for(server, endpoint=endpoint, headers={"api-key": "$AZURE_KEY"}, **fields)


class TestLookUp:
    def test_it_sends_what_the_run_sends(self, monkeypatch):
        for name, value in OPENAIS.items():
            monkeypatch.setenv(name, value)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
        monkeypatch.setenv("MY_KEY", "sk-mine-01234")
        monkeypatch.setenv("AZURE_KEY", SECRET)
        with FaultyServer() as server:
            card = card_for(server, model="", key_env="MY_KEY", headers={"api-key": "$AZURE_KEY"})
            model = open_model(card)
            assert model.fingerprint()["model"] == "toy-1"
            assert ask(card).status == "ok"
        headers = [headers for _, headers in server.seen]
        assert server.seen[0][0].split()[:2] == ["GET", "/v1/models"]
        assert all(h["authorization"] == "bearer sk-mine-01234" for h in headers)
        assert all(h["api-key"] == SECRET for h in headers)
        assert "-secret" not in str([{**h, "api-key": ""} for h in headers])
        assert not any(name.startswith("x-stainless-os") for h in headers for name in h)

    def test_it_works_inside_an_event_loop(self):
        async def notebook(server):
            return open_model(card_for(server, model="")).fingerprint()

        with FaultyServer() as server:
            assert asyncio.run(notebook(server))["model"] == "toy-1"

    def test_a_wrong_address_is_explained(self):
        with FaultyServer(base="/v1/") as server:
            bare = server.url.removesuffix("/v1")
            with pytest.raises(ModelError, match=rf"404.*below /v1: try {bare}/v1"):
                open_model(card_for(server, model="", endpoint=bare)).fingerprint()


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("", r"Not Found\. Most servers .* try http://127.0.0.1:\d+/v1"),
        ("/api/", r"try http://127.0.0.1:\d+/api/v1"),
        ("/v2", None),
    ],
)
def test_an_address_without_v1_that_answers_404_is_explained(endpoint, said):
    with FaultyServer(base="/v1/") as server, pytest.raises(AttemptError, match="HTTP 404") as caught:
        ask(card_for(server, endpoint=server.url.removesuffix("/v1") + endpoint))
    assert caught.value.kind == "not_found"
    assert ("below /v1" in caught.value.reason) == bool(said)
    if said:
        assert caught.match(said)


def test_a_model_that_is_not_found_is_no_matter_of_the_address():
    with FaultyServer(lambda call: "404") as server, pytest.raises(AttemptError) as caught:
        ask(card_for(server, endpoint=server.url.removesuffix("/v1")))
    assert "no such model" in caught.value.reason
    assert "/v1" not in caught.value.reason


class TestQueriesAndHeaders:
    def test_an_azure_deployment_is_asked(self, monkeypatch):
        monkeypatch.setenv("AZURE_KEY", SECRET + "\n")
        with FaultyServer(base=DEPLOYMENT) as server:
            assert ask(azure(server)).status == "ok"
        ((line, headers),) = server.seen
        assert line.split()[:2] == ["POST", f"{DEPLOYMENT}/chat/completions?{VERSION}"]
        assert headers["api-key"] == SECRET
        assert "authorization" not in headers  # no key, and nothing in its place

    def test_azure_without_its_version_is_explained(self, monkeypatch):
        monkeypatch.setenv("AZURE_KEY", SECRET)
        with FaultyServer(base="/nowhere") as server:
            card = azure(server)
            with pytest.raises(AttemptError, match="Azure needs its version"):
                ask(replace(card, endpoint=card.endpoint.partition("?")[0]))

    def test_another_query_is_another_model(self, monkeypatch):
        card = ModelCard("x", "openai", model="m", endpoint=f"https://host.example/v1?{VERSION}")
        plain = replace(card, endpoint="https://host.example/v1")
        prints = [open_model(c).fingerprint() for c in (card, plain, replace(card, headers={"a": "$B"}))]
        assert prints[0] != prints[1]
        assert prints[0] == prints[2]

    @pytest.mark.parametrize("trouble", ["ok", "401", "200", "text"])
    def test_a_header_is_never_written_or_shown(self, many, tmp_path, monkeypatch, trouble):
        monkeypatch.setenv("AZURE_KEY", SECRET)
        done = {
            "ok": completion(f"B, as {SECRET} says"),
            "401": (401, {"error": {"message": f"bad {SECRET}"}}, {}),
            "200": {"error": {"message": f"bad {SECRET}", "code": 400}},
            "text": (200, f"no {SECRET}".encode(), {"Content-Type": "text/html"}),
        }[trouble]
        with FaultyServer(lambda call: done) as server:
            (tmp_path / "models.toml").write_text(
                f'[toy]\nadapter = "openai"\nmodel = "toy-1"\nendpoint = "{azure(server).endpoint}"\n'
                'headers = { api-key = "$AZURE_KEY" }\n'
            )
            words = ["eval", "--model", "toy", "--bench", many(2), "--level", "clean", "-o", tmp_path / "run"]
            words += ["--no-canary", "--set", "attempts=1"]
            shown = CliRunner().invoke(app, [str(word) for word in words])
        assert server.seen[0][1]["api-key"] == SECRET
        assert SECRET not in shown.output
        assert "[hidden]" in (shown.output if trouble == "401" else _replies(tmp_path / "run"))
        for file in (p for p in tmp_path.rglob("*") if p.is_file()):
            assert SECRET.encode() not in file.read_bytes(), file

    def test_a_traceback_holds_no_header(self, monkeypatch):
        monkeypatch.setenv("AZURE_KEY", SECRET)
        with FaultyServer(lambda call: "401") as server, pytest.raises(AttemptError) as caught:
            ask(azure(server))
        error = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert SECRET not in "".join(error.format())

    def test_a_redirect_takes_no_header_along(self, monkeypatch):
        monkeypatch.setenv("AZURE_KEY", SECRET)
        with FaultyServer() as other:
            moved = (307, {}, {"Location": f"{other.url}/chat/completions"})
            with FaultyServer(lambda call: moved) as server, pytest.raises(AttemptError) as caught:
                ask(azure(server))
        assert (caught.value.kind, other.url in caught.value.reason) == ("not_found", True)
        assert not other.seen

    def test_a_header_of_the_card_replaces_the_key(self, monkeypatch):
        monkeypatch.setenv("AZURE_KEY", "Token abc-def")
        with FaultyServer() as server:
            ask(card_for(server, headers={"authorization": "${AZURE_KEY}"}))
        assert server.seen[0][1]["authorization"] == "token abc-def"

    def test_a_variable_that_is_not_set_is_named(self):
        with FaultyServer() as server, pytest.raises(ModelError, match=r"'api-key'.* AZURE_KEY is not set"):
            open_model(azure(server)).check()

    @pytest.mark.parametrize("value", ["Basic\x00x", "Ключ"])
    def test_a_variable_that_is_no_header_is_refused(self, monkeypatch, value):
        card = ModelCard("x", "openai", model="m", endpoint="https://h.example", headers={"a": "$B"})
        monkeypatch.setattr("os.environ", {"B": value})
        with pytest.raises(ModelError, match="variable B holds a character"):
            read_access(read_settings(card), "x")

    @pytest.mark.parametrize("value", ["literal-secret", "Bearer $B", "$", "$A-B"])
    def test_a_literal_value_is_refused_and_not_shown(self, tmp_path, value):
        path = tmp_path / "cards.toml"
        path.write_text(f'[x]\nadapter = "openai"\nheaders = {{ api-key = "{value}" }}\n')
        with pytest.raises(UsageError, match="must be the name of an environment variable") as caught:
            read_cards(path)
        assert value == "$" or value not in str(caught.value)

    @pytest.mark.parametrize("name", ["Host", "content-type", "a b", "a:b"])
    def test_a_header_of_the_client_is_refused(self, name):
        with pytest.raises(UsageError, match="cannot set"):
            open_model(ModelCard("x", "openai", endpoint="https://h.example", headers={name: "$B"}))

    def test_set_names_a_header(self):
        card = set_options(shipped_cards()["openai"], ["headers.api-key=$AZURE_KEY"])
        assert card.headers == {"api-key": "$AZURE_KEY"}

    def test_headers_of_a_card_stay_at_its_own_endpoint(self, tmp_path):
        path = tmp_path / "cards.toml"
        path.write_text(
            '[own]\nadapter = "openai"\nendpoint = "https://own.example/v1"\nheaders = { k = "$B" }\n'
            '[form]\nadapter = "openai"\nkey_env = "C"\nheaders = { k = "$B" }\n'
        )
        own, form = (find_card(f"{name}:m@https://h.example/v1?v=1", [path]) for name in ("own", "form"))
        assert (own.headers, own.key_env) == ({}, "MMDBENCH_API_KEY")
        assert (form.headers, form.key_env, form.endpoint) == ({"k": "$B"}, "C", "https://h.example/v1?v=1")


@pytest.mark.parametrize(
    "query",
    ["key=abc-hidden", "api-version=1&subscription-key=abc-hidden", "sig=abc-hidden", "apiKey=abc-hidden"],
)
def test_a_key_in_the_address_is_refused_before_anything_is_written(query):
    name = f"openai:m@https://host.example/v1?{query}"
    for words in (
        ["doctor", "--model", name],
        ["list", "models", "--set", f"endpoint=https://h.example?{query}"],
    ):
        shown = CliRunner().invoke(app, words)
        assert shown.exit_code != 0
        assert "abc-hidden" not in shown.output
    with pytest.raises(UsageError, match=r"must hold no key.* names one") as caught:
        find_card(name)
    assert "abc-hidden" not in str(caught.value)


@pytest.mark.parametrize("value", ["abc-hidden", "abc%2Dhidden"])
def test_a_secret_of_the_environment_in_a_query_is_refused(monkeypatch, value):
    monkeypatch.setenv("MY_API_KEY", "abc-hidden")
    with pytest.raises(UsageError, match="must hold no key") as caught:
        find_card(f"openai:m@https://host.example/v1?x={value}")
    assert "abc-hidden" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["https://h.example/v1/chat/completions", "https://h.example/v1#x"])
def test_an_address_must_be_the_one_before_the_path_of_the_api(endpoint):
    with pytest.raises(UsageError, match="before /chat/completions"):
        read_settings(ModelCard("x", "openai", endpoint=endpoint))


class TestRedirects:
    """Two ports of this machine are two servers, as two hosts are."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_another_server_gets_neither_question_nor_key(self, monkeypatch, status):
        monkeypatch.setenv("MY_KEY", SECRET)
        with FaultyServer() as other:
            moved = (status, {}, {"Location": f"{other.url}/chat/completions?k={SECRET}"})
            with FaultyServer(lambda call: moved) as server, pytest.raises(AttemptError) as caught:
                ask(card_for(server, key_env="MY_KEY"))
        assert caught.value.kind == "not_found"
        assert f"names another address, where nothing is sent: {other.url}" in caught.value.reason
        assert SECRET not in caught.value.reason
        assert other.seen == []

    def test_one_of_its_own_server_is_followed(self):
        moved = (308, {}, {"Location": "/v1/chat/completions"})
        with FaultyServer(lambda call: moved if "/old/" in call.path else "ok") as server:
            assert ask(card_for(server, endpoint=server.url.replace("/v1", "/old"))).status == "ok"

    def test_one_that_never_ends_is_a_failure(self):
        moved = (308, {}, {"Location": "/v1/chat/completions"})
        with FaultyServer(lambda call: moved) as server:
            with pytest.raises(AttemptError, match="HTTP 308: the server names another address"):
                ask(card_for(server))
            assert len(server.calls) < 10

    def test_a_chain_of_redirects_ends_where_it_leaves_the_server(self):
        with FaultyServer() as other:
            away = (307, {}, {"Location": f"{other.url}/chat/completions"})
            within = (307, {}, {"Location": "/v1/there/chat/completions"})
            with FaultyServer(lambda call: away if "/there/" in call.path else within) as server:
                for _ in range(2):  # a client that has seen a redirect takes another way
                    with pytest.raises(AttemptError, match="names another address"):
                        ask(card_for(server))
        assert len(server.calls) >= 4
        assert other.seen == []

    @pytest.mark.parametrize("place", ["http://localhost:{port}/v1", "//127.0.0.1:1/v1", "/v1\x00"])
    def test_another_spelling_of_a_host_is_another_server(self, place):
        port = []
        with FaultyServer(lambda call: (307, {}, {"Location": place.format(port=port[0])})) as server:
            port.append(server.url.rpartition(":")[2].partition("/")[0])
            with pytest.raises(AttemptError):
                ask(card_for(server))
        assert len({line for line, _ in server.seen}) == 1

    def test_a_judge_is_not_asked_elsewhere(self, monkeypatch):
        monkeypatch.setenv("MMDBENCH_API_KEY", SECRET)
        with FaultyServer() as other:
            moved = (307, {}, {"Location": f"{other.url}/chat/completions"})
            with FaultyServer(lambda call: moved) as server:
                judge = open_judge(f"openai:toy-1@{server.url}")
                with pytest.raises(ModelError, match="names another address"):
                    judge.ask(JudgeCall("toy", 1, "p", "p/1", "Question 1?", 1, 0.0, 8))
                judge.close()
        assert server.seen[0][1]["authorization"] == f"bearer {SECRET}"
        assert other.seen == []

    @pytest.mark.parametrize("part", ["/files", "/batches", "/files/"])
    def test_a_batch_is_not_sent_elsewhere(self, many, tmp_path, monkeypatch, part):
        monkeypatch.setenv("MMDBENCH_API_KEY", SECRET)

        class Moved(BatchEndpoint):
            def respond(self, method, path, body, complete):
                tail = path.removeprefix("/v1")
                if tail == part or (part == "/files/" and tail.startswith(part)):
                    return 307, {}, {"Location": f"{other.url}{tail}"}
                return super().respond(method, path, body, complete)

        with FaultyServer() as other, FaultyServer(batches=Moved(looks=0)) as server:
            words = ["eval", "--model", f"openai:toy-1@{server.url}", "--bench", many(2), "--level", "clean"]
            words += ["-o", tmp_path / "run", "--batch", "--no-canary", "--quiet"]
            shown = CliRunner().invoke(app, [str(word) for word in words])
        assert shown.exit_code == 4, shown.output
        assert "names another address" in shown.output
        assert other.seen == []


class TestKeysOverHttp:
    """A key is sent over http to this machine alone; for one of the user's own `allow_http` permits it."""

    @pytest.mark.parametrize("name", ["OPENAI_API_KEY", "GEMINI_API_KEY", "AZURE_OPENAI_API_KEY"])
    @pytest.mark.parametrize("options", [{}, {"allow_http": True}])
    def test_a_shipped_key_never_is(self, monkeypatch, name, options):
        monkeypatch.setenv(name, SECRET)
        card = ModelCard("x", "openai", model="m", endpoint="http://h.example/v1", options=options)
        for fields in ({"key_env": name}, {"headers": {"api-key": f"${name}"}}):
            with pytest.raises(UsageError, match=f"would send {name} over http") as caught:
                open_model(replace(card, **fields)).check()
            assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("name", ["MMDBENCH_API_KEY", "LAB_KEY"])
    def test_another_key_needs_allow_http(self, monkeypatch, name):
        card = ModelCard("x", "openai", model="m", endpoint="http://h.example:8000/v1", key_env=name)
        header = replace(card, key_env="", headers={"x-key": f"${{{name}}}"})
        monkeypatch.setenv(name, SECRET)
        for one in (card, header):
            with pytest.raises(UsageError, match=rf"key in {name} over http.*--set allow_http=true"):
                open_model(one).check()
            permitted = set_options(one, ["allow_http=true"])
            access = read_access(read_settings(permitted), "x")
            assert SECRET in (access.key, *access.headers.values())
            assert open_model(permitted).fingerprint() == open_model(one).fingerprint()

    def test_without_a_key_there_is_nothing_to_permit(self, monkeypatch):
        read_access(read_settings(find_card("vllm:m@http://gpu-box:8000/v1")), "x")
        monkeypatch.setenv("MMDBENCH_API_KEY", SECRET)
        for host in ("127.0.0.1", "localhost", "[::1]"):
            assert read_access(read_settings(find_card(f"vllm:m@http://{host}:8000/v1")), "x").key == SECRET

    @pytest.mark.parametrize("asked", ["eval", "doctor", "judge", "batch", "litellm"])
    def test_nothing_is_sent_before_it_is_refused(self, monkeypatch, many, tmp_path, asked):
        monkeypatch.setenv("MMDBENCH_API_KEY", SECRET)
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
        name = "openai:m@http://h.example/v1"
        if asked == "judge":
            judge = open_judge(name)
            with pytest.raises(UsageError, match="over http"):
                judge.ask(JudgeCall("toy", 1, "p", "p/1", "Question 1?", 1, 0.0, 8))
            judge.close()
            return
        words = ["doctor", "--model", name]
        if asked != "doctor":
            words = ["eval", "--model", name, "--bench", many(2), "-o", tmp_path / "run", "--quiet"]
        words += ["--batch"] * (asked == "batch")
        if asked == "litellm":
            monkeypatch.setattr("mmdbench.adapters.litellm.util.find_spec", lambda name: True)
            words += ["--set", "adapter=litellm"]
        shown = CliRunner().invoke(app, [str(word) for word in words])
        assert shown.exit_code == 2, shown.output
        assert "over http" in shown.output
        assert SECRET not in shown.output


class TestVariablesOfOpenAI:
    def test_its_hosts(self):
        hosts = [
            "https://api.openai.com/v1",
            "https://eu.api.openai.com/v1",
            "https://api.openai.com.example/v1",
        ]
        assert [is_openai(host) for host in hosts] == [True, True, False]
        assert not is_openai("http://api.openai.com/v1")

    @pytest.mark.parametrize("asked", ["run", "judge", "batch"])
    def test_others_do_not_see_them(self, monkeypatch, asked):
        for name, value in OPENAIS.items():
            monkeypatch.setenv(name, value)
        with FaultyServer() as server:
            if asked == "run":
                ask(card_for(server))
            elif asked == "batch":
                with pytest.raises(AttemptError):  # this server has none
                    asyncio.run(look_for_batches(card_for(server)))
            else:
                judge = open_judge(f"openai:toy-1@{server.url}")
                judge.ask(JudgeCall("toy", 1, "p", "p/1", "Question 1?", 1, 0.0, 8))
                judge.close()
        ((_, headers),) = server.seen
        assert "secret" not in str(headers)
        assert "authorization" not in headers

    def test_openai_sees_them(self, monkeypatch):
        for name, value in OPENAIS.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("mmdbench.adapters._openai_api.access.is_openai", lambda endpoint: True)
        with FaultyServer() as server:
            monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/")
            ask(card_for(server, key_env="OPENAI_API_KEY"))
        ((_, headers),) = server.seen
        assert headers["openai-organization"] == "org-secret"
        assert headers["openai-project"] == "proj-secret"
        assert headers["x-gateway"] == "gateway-secret"

    def test_another_base_url_is_refused_in_words(self, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456")
        monkeypatch.setenv("OPENAI_BASE_URL", "https://me:pw@gateway.example/v1")
        with pytest.raises(ModelError, match="OPENAI_BASE_URL names another address") as caught:
            open_model(shipped_cards()["gpt-4.1"]).check()
        assert "pw@" not in str(caught.value)
        monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
        card = set_options(shipped_cards()["gpt-4.1"], ["endpoint=https://gateway.example/v1"])
        open_model(card).check()
        open_model(find_card("vllm:m")).check()


class TestContentTypes:
    @pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", ""])
    def test_json_is_read_under_another_name(self, kind):
        body = json.dumps(completion("B")).encode()
        assert outcome_of(kind, b"\n " + body).text == "B"

    def test_it_is_read_from_a_server(self):
        done = (200, completion("B"), {"Content-Type": "text/plain; charset=utf-8"})
        with FaultyServer(lambda call: done) as server:
            assert ask(card_for(server)).text == "B"

    @pytest.mark.parametrize("body", [b"<html>login</html>", b"", b"{ oops"])
    def test_what_is_no_json_is_not(self, body):
        with pytest.raises(AttemptError) as caught:
            outcome_of("text/html", body)
        assert caught.value.kind == "wrong_content_type"


def _replies(folder):
    return "".join(path.read_text() for path in folder.glob("replies-*.jsonl"))
