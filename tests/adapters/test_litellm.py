"""The adapter `litellm`: one attempt for each request, errors as kinds of failure, no key anywhere."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest
from mmdbench.adapters._openai_api.redirects import no_redirects

from batch_endpoint import BatchEndpoint
from faulty_server import FaultyServer
from mmdbench.cli.evaluate import evaluate
from mmdbench.errors import MissingExtraError, ModelError, UsageError
from mmdbench.models.cards import find_card, set_options
from mmdbench.models.failures import AttemptError
from mmdbench.models.registry import open_model
from mmdbench.records import ImageBytes, Request
from mmdbench.run.store import read_replies
from optional_packages import needs
from pictures import picture, png
from verb_calls import call

PLACE = "endpoint=https://host.example/v1?api-version=1"
KEY = "sk-the-secret-of-the-provider"
# acompletion has the names and the order of litellm 1.110.2's, the errors have its names and statuses.
PACKAGE = """
import os

IMPORTED_WITH = os.environ.get("LITELLM_LOCAL_MODEL_COST_MAP"), os.environ.get("LITELLM_MODE")
asked, behave = [], lambda **request: None

class RateLimitError(Exception):
    status_code = 429
    response = type("Response", (), {"headers": {"retry-after": "7"}})()

class AuthenticationError(Exception):
    status_code = 401

class ContentPolicyViolationError(Exception):
    status_code = 400

class ContextWindowExceededError(Exception):
    status_code = 400

class UnsupportedParamsError(Exception):
    status_code = 400

class BadRequestError(Exception):
    status_code = 400
    body = {"message": "blocked", "code": "content_filter"}

class InternalServerError(Exception):  # also for a connection that broke
    status_code = 500

    def __init__(self, *words):
        super().__init__(*words)
        self.__cause__ = APIConnectionError("the server hung up")

class Timeout(Exception):
    status_code = 408

class APIConnectionError(Exception):
    status_code = 500

class ModelResponse:
    def __init__(self, text):
        self.text = text

    def model_dump(self):
        message = {"role": "assistant", "content": self.text, "reasoning_content": "Let me see."}
        return {
            "id": "x", "created": 1, "model": "served-1", "object": "chat.completion",
            "choices": [{"finish_reason": "stop", "index": 0, "message": message}],
            "usage": {"prompt_tokens": 90, "completion_tokens": 3, "total_tokens": 93},
        }

async def acompletion(model, messages=[], functions=None, function_call=None, timeout=None, temperature=None,
                      top_p=None, n=None, stream=None, stream_options=None, stop=None, max_tokens=None,
                      max_completion_tokens=None, *, base_url=None, api_version=None, api_key=None, **kwargs):
    request = {name: value for name, value in {**locals(), **kwargs}.items() if value is not None}
    asked.append(request)
    behave(**request)
    return ModelResponse("A. It is so.")
"""


@pytest.fixture
def litellm(tmp_path, monkeypatch):
    """A litellm that answers and fails as a test tells it to; every request is in `asked`."""
    monkeypatch.delitem(sys.modules, "litellm", raising=False)
    names = ("LITELLM_LOCAL_MODEL_COST_MAP", "LITELLM_MODE", "OPENAI_BASE_URL", "OPENAI_API_BASE")
    for name in (*names, "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "site" / "litellm").mkdir(parents=True)
    (tmp_path / "site" / "litellm" / "__init__.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path / "site")
    import litellm

    yield litellm
    del sys.modules["litellm"]


def request():
    image = ImageBytes(png(picture(1)), "image/png")
    return Request("k", "Which?", "Which?", {}, (image,), 0, {"temperature": 0, "max_tokens": 9})


def ask(card):
    return asyncio.run(open_model(card).agenerate(request()))


def test_settings_that_the_provider_does_not_take_are_learnt(litellm):
    def refuse(**sent):
        untaken = [name for name in ("temperature", "max_tokens") if name in sent]
        if untaken:
            raise litellm.UnsupportedParamsError(
                f"bedrock does not support parameters: {untaken}, for model=m"
            )

    litellm.behave = refuse
    model = open_model(find_card("litellm:bedrock/m"))
    outcome = asyncio.run(model.agenerate(request()))
    assert (outcome.status, len(litellm.asked)) == ("ok", 3)
    assert litellm.asked[-1]["max_completion_tokens"] == 2048  # the limit of the card
    assert model.fingerprint()["refused"] == ["max_tokens", "temperature"]


def test_an_attempt_ends_in_time(litellm):
    async def never(**_):
        await asyncio.Event().wait()

    litellm.acompletion = never
    with pytest.raises(AttemptError, match="within the option timeout") as caught:
        ask(set_options(find_card("litellm:bedrock/m"), ["timeout=0.05"]))
    assert caught.value.kind == "timeout"


def test_an_answer_above_the_limit_is_an_error_of_its_own(litellm):
    card = set_options(find_card("litellm:bedrock/m"), ["reply_mb=0.01"])
    assert ask(card).text == "A. It is so."
    litellm.ModelResponse.model_dump = lambda self: {"choices": [{"message": {"content": "A" * 20_000}}]}
    with pytest.raises(AttemptError, match=r"larger than 0\.01 MB") as raised:
        ask(card)
    assert raised.value.kind == "reply_too_large"


def test_a_request_has_the_form_of_openais_and_is_sent_once(litellm):
    card = find_card("litellm:bedrock/some.model-v1:0")
    outcome = ask(card)
    assert (outcome.text, outcome.status) == ("A. It is so.", "ok")
    assert outcome.details["usage"] == {"prompt": 90, "completion": 3}
    assert (outcome.details["model"], outcome.details["reasoning"]) == ("served-1", "Let me see.")
    (sent,) = litellm.asked
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("bedrock/some.model-v1:0", 0, 9)
    assert (sent["max_retries"], sent["num_retries"], sent["timeout"]) == (0, 0, 300.0)
    assert not {"base_url", "api_key"} & set(sent)
    part, text = sent["messages"][0]["content"]
    assert part["image_url"]["url"].startswith("data:image/png;base64,")
    assert text == {"type": "text", "text": "Which?"}
    assert open_model(card).fingerprint()["adapter"] == "litellm"
    assert "endpoint" not in open_model(card).fingerprint()


def test_endpoint_and_key_of_the_card_are_passed(litellm, monkeypatch):
    card = set_options(find_card("litellm:x/m@https://host.example/v1"), ["key_env=MY_KEY"])
    with pytest.raises(ModelError, match="MY_KEY is not set"):
        open_model(card).check()
    monkeypatch.setenv("MY_KEY", KEY)
    ask(card)
    assert (litellm.asked[0]["base_url"], litellm.asked[0]["api_key"]) == ("https://host.example/v1", KEY)
    assert open_model(card).fingerprint()["endpoint"] == "https://host.example/v1"
    assert KEY not in str(open_model(card).fingerprint())


@pytest.mark.parametrize(
    ("error", "kind", "wait"),
    [
        ("RateLimitError", "rate_limited", 7.0),
        ("AuthenticationError", "unauthorised", None),
        ("ContentPolicyViolationError", "content_filter", None),
        ("ContextWindowExceededError", "too_long", None),
        ("UnsupportedParamsError", "bad_request", None),
        ("Timeout", "timeout", None),
        ("BadRequestError", "content_filter", None),
        ("APIConnectionError", "dropped", None),
        ("InternalServerError", "dropped", None),
        ("ValueError", "unexpected", None),
    ],
)
def test_its_errors_are_kinds_of_failure_without_keys(litellm, monkeypatch, error, kind, wait):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)

    def fail(**_):
        raise (getattr(litellm, error, None) or ValueError)(f"no: {KEY}")

    litellm.behave = fail
    with pytest.raises(AttemptError) as caught:
        ask(find_card("litellm:bedrock/m"))
    assert (caught.value.kind, caught.value.retry_after) == (kind, wait)
    assert "no: [hidden]" in caught.value.reason
    assert caught.value.__context__ is None


def test_a_run_through_it_is_stored_like_any_other(litellm, tmp_path, make_tsv):
    words = (
        "--model",
        "litellm:p/m",
        "--bench",
        make_tsv(3),
        "-o",
        tmp_path / "run",
        "--quiet",
        "--no-canary",
    )
    answer = call(evaluate, *words)
    assert "litellm:p/m" in answer
    replies = read_replies(tmp_path / "run")
    assert {reply.status for reply in replies.values()} == {"ok"}
    assert len(litellm.asked) == len(replies) == 12


def test_what_cannot_work_is_an_error_before_a_request(litellm, monkeypatch):
    with pytest.raises(UsageError, match="needs the name of a model"):
        open_model(find_card("litellm"))
    for name, change in (("headers", "headers.x=$MY_KEY"), ("query", PLACE)):
        with pytest.raises(UsageError, match=f"litellm takes no {name}"):
            open_model(set_options(find_card("litellm:p/m"), [change]))
    monkeypatch.setattr("mmdbench.adapters.litellm.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"litellm is not installed.*mmdbench\[litellm\]"):
        open_model(find_card("litellm:p/m"))


def test_it_downloads_no_prices_and_reads_no_file_of_variables(litellm):
    del sys.modules["litellm"]
    ask(find_card("litellm:p/m"))
    assert sys.modules["litellm"].IMPORTED_WITH == ("True", "PRODUCTION")  # as DEV it reads .env


def test_at_an_address_it_gets_no_key_of_its_own(litellm, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)  # litellm sends it to any address unless it is given another
    ask(find_card("litellm:openai/m@https://host.example/v1"))
    ask(find_card("litellm:openai/m"))
    assert [request.get("api_key") for request in litellm.asked] == ["none", None]


def web_client():
    """The HTTP library of the openai client: httpx, or httpx2 in newer versions."""
    return import_module(next(name for name in ("httpx", "httpx2") if find_spec(name)))


@needs("openai")
@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_is_a_failure_and_nothing_is_sent_there(litellm, status):
    web = web_client()

    def send(base_url, **_):
        with web.Client(follow_redirects=True) as client:
            client.post(
                f"{base_url}/chat/completions", json={"messages": [{"content": "?"}]}
            ).raise_for_status()

    litellm.behave = send
    with FaultyServer() as other:
        moved = (status, {}, {"Location": f"http://user:secret@{other.url.removeprefix('http://')}"})
        with FaultyServer(lambda call: moved) as server, pytest.raises(AttemptError) as caught:
            ask(find_card(f"litellm:openai/m@{server.url}"))
    assert caught.value.kind == "not_found"
    assert "names another address, where nothing is sent: http://[hidden]@127.0.0.1" in caught.value.reason
    assert (len(server.seen), other.seen) == (1, [])


@needs("openai")
@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
def test_redirects_are_followed_again_after_the_request(kind):
    web = web_client()

    def status():
        client = getattr(web, kind)(follow_redirects=True)
        if kind == "Client":
            with client:
                return client.get(f"{server.url}/files/moved").status_code
        return asyncio.run(get(client))

    async def get(client):
        async with client:
            return (await client.get(f"{server.url}/files/moved")).status_code

    class Moving(BatchEndpoint):
        def respond(self, method, path, body, complete):
            return (307, {}, {"Location": "/v1/models"})

    with FaultyServer(batches=Moving()) as server:
        found = []
        with no_redirects():
            found.append(status())
        found.append(status())
    assert found == [307, 200]


@pytest.mark.parametrize(
    ("model", "address"),
    [
        ("openai/m@https://host.example/v1", ""),
        ("deepseek/m", ""),
        ("openai/m", "https://host.example/v1"),
        ("m", "https://host.example/v1"),
    ],
)
@pytest.mark.parametrize("name", ["OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS"])
def test_what_is_for_openai_alone_goes_nowhere_else(litellm, monkeypatch, model, address, name):
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    monkeypatch.setenv(name, KEY)
    opened = open_model(find_card(f"litellm:{model}"))
    with pytest.raises(ModelError, match=f"would send the environment variable {name}") as caught:
        opened.check()
    assert KEY not in str(caught.value)
    with pytest.raises(ModelError, match="is for OpenAI alone"):
        asyncio.run(opened.agenerate(request()))
    assert not litellm.asked
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    ask(find_card("litellm:openai/m"))


def test_openais_key_is_not_sent_over_http_by_a_variable(litellm, monkeypatch):
    monkeypatch.setenv("OPENAI_API_BASE", "http://host.example/v1")
    with pytest.raises(UsageError, match="would send OPENAI_API_KEY over http"):
        ask(find_card("litellm:openai/m"))
    assert not litellm.asked
