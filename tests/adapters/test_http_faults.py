"""One fault of each kind in HTTP: the right answer is stored once, or an error that says what happened."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from base64 import b64encode
from contextlib import nullcontext
from dataclasses import replace

import pytest

from api_runs import run
from faulty_server import FaultyServer, Wire, completion, refusing, response_bytes, true_answer
from mmdbench.errors import ModelError
from mmdbench.models import open_model
from mmdbench.models.cards import ModelCard
from mmdbench.models.failures import AttemptError
from mmdbench.records import Request
from mmdbench.run.budget import Budget
from mmdbench.run.json_lines import read_records
from optional_packages import needs
from pictures import write_many

pytestmark = needs("aiohttp")

SECONDS = 0.1  # as short as they can be
WRONG = completion("D. (an answer to another question)")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def drip(data, pause=0.02):
    return tuple(part for byte in data for part in (bytes([byte]), pause))


def wire(*parts, end="keep"):
    return lambda good: Wire(tuple(part(good) if callable(part) else part for part in parts), end)


def sent(status="200 OK", **headers):
    """A whole response with the right answer."""
    return lambda good: response_bytes(good, status, **headers)


def body(make, **headers):
    """A whole response whose body is made from the right answer."""
    return wire(lambda good: response_bytes(make(json.dumps(good).encode()), **headers))


def status(code, content=b"{}", **headers):
    return wire(response_bytes(content, f"{code} x", **headers))


def usual(make):
    return lambda good: make(response_bytes(good))


# Each is the response to the first attempt for one question; the second attempt is answered.
RECOVERED = {
    "reset before the headers": wire(end="reset"),
    "closed before the headers": wire(end="close"),
    "closed within the status line": wire(b"HTTP/1.", end="close"),
    "reset within the headers": wire(HEAD, end="reset"),
    "closed within the headers": wire(HEAD, end="close"),
    "closed before the body": wire(usual(lambda data: data[: data.index(b"\r\n\r\n") + 4]), end="close"),
    "closed within the body": wire(usual(lambda data: data[:-40]), end="close"),
    "reset within the body": wire(usual(lambda data: data[:-40]), end="reset"),
    "half closed within the body": wire(usual(lambda data: data[:-40]), end="half"),
    "half closed before the headers": wire(end="half"),
    "a length too long, closed": wire(sent(length=5000), end="close"),
    "a length too short": wire(sent(length=20)),
    "a negative length": wire(sent(length=-5)),
    "a length that is no number": wire(sent(length="many")),
    "a huge length": wire(sent(length="9" * 40), end="close"),
    "two lengths": wire(sent(content_length=3)),
    "a chunk's size is no number": wire(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
    "a chunk's size is negative": wire(CHUNKED + b"-5\r\n{}\r\n0\r\n\r\n"),
    "a chunk's size is huge": wire(CHUNKED + b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    "a chunk is longer than its size": wire(CHUNKED + b"2\r\n{} and more\r\n0\r\n\r\n"),
    "a chunk is cut": wire(CHUNKED + b"50\r\n{", end="close"),
    "no last chunk": wire(CHUNKED, lambda good: chunk(json.dumps(good).encode()), end="close"),
    "a status line of garbage": wire(b"\x00\x01\x02 what?\r\n\r\n"),
    "a status that is no number": wire(b"HTTP/1.1 OK 200\r\nContent-Length: 2\r\n\r\n{}"),
    "a version that is none": wire(b"HTTP/x.y 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "a body without headers": wire(lambda good: json.dumps(good).encode(), end="close"),
    "an alert of TLS": wire(b"\x15\x03\x03\x00\x02\x02\x28", end="close"),
    "a record of TLS": wire(b"\x16\x03\x03\x40\x00" + bytes(range(256)) * 4),
    "a greeting of SSH": wire(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "headers of a megabyte": wire(sent(X_Long="x" * 2**20)),
    "a header without a colon": wire(HEAD + b"what is this\r\nContent-Length: 2\r\n\r\n{}"),
    "no body": body(lambda data: b""),
    "204": status(204, b"", Content_Length=None),
    "205": status(205, b""),
    "JSON is cut": body(lambda data: data[:-9]),
    "JSON has another shape": body(lambda data: b'["what?"]'),
    "JSON is a number": body(lambda data: b"7"),
    "JSON is null": body(lambda data: b"null"),
    "JSON is nested deeply": body(lambda data: b"[" * 100_000),
    "no choices": body(lambda data: b'{"choices": []}'),
    "a choice is a text": body(lambda data: b'{"choices": ["A"]}'),
    "NULs in the body": body(lambda data: data.replace(b'"choices"', b'\0"choices"')),
    "no UTF-8": body(lambda data: data.replace(b"toy", b"\xff\xfe\xfd")),
    "an HTML page": body(lambda data: b"<html>log in</html>", Content_Type="text/html"),
    "an HTML page of a proxy": status(502, b"<html>bad gateway</html>", Content_Type="text/html"),
    "events instead of JSON": body(lambda data: b"data: " + data + b"\n\n", Content_Type="text/event-stream"),
    "gzip of nothing": body(lambda data: b"", Content_Encoding="gzip"),
    "gzip that is none": body(lambda data: data, Content_Encoding="gzip"),
    "gzip is cut": body(lambda data: gzip.compress(data)[:-12], Content_Encoding="gzip"),
    "gzip with a wrong sum": body(lambda data: gzip.compress(data)[:-8] + bytes(8), Content_Encoding="gzip"),
    "Brotli": body(lambda data: b"\x8b\x01\x80{}\x03", Content_Encoding="br"),
    "Zstandard": body(lambda data: b"\x28\xb5\x2f\xfd" + data, Content_Encoding="zstd"),
    "gzip twice": body(lambda data: gzip.compress(gzip.compress(data)), Content_Encoding="gzip, gzip"),
    "an answer to another request": body(
        lambda data: data.replace(b'"x"', b'"chatcmpl-mmdbench-00000000-1"')
    ),
    "the name of another request": body(lambda data: data, X_Request_Id="mmdbench-00000000-1"),
    **{f"{code}": status(code) for code in (408, 409, 425, 429, 499, 500, 502, 503, 504, 520, 529)},
    **{
        f"429, Retry-After {value[:12]}": status(429, Retry_After=value)
        for value in ("soon", "-5", "nan", "inf", "1e400", "", "0.001", "9" * 400 + "d", "\xb2",
                      "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Oct 99999 07:28:00 GMT")
    },
    "429 with a reset of nonsense": status(429, x_ratelimit_reset_requests="1e999d", ratelimit='"a";r=0;t=-'),
}  # fmt: skip

# Newer versions of aiohttp refuse these, older ones do not.
EITHER = {
    "ten thousand headers": wire(lambda good: response_bytes(good, **{f"X_{n}": n for n in range(10_000)})),
    "a header with a NUL": wire(sent(X_Null="a\0b")),
}

# No attempt takes longer than `timeout`, whatever comes in meanwhile.
WAITING = {
    "silent": wire(end="hold"),
    "silent within the headers": wire(HEAD, end="hold"),
    "silent within the body": wire(usual(lambda data: data[:-40]), end="hold"),
    "headers drip": wire(*drip(HEAD)),
    "body drips": wire(HEAD + b"Content-Length: 400\r\n\r\n", *drip(b"{" + b" " * 60)),
    "spaces keep it alive": wire(HEAD + b"\r\n", *drip(b" " * 60)),
    "comments keep it alive": wire(CHUNKED, *((chunk(b": still at work\n\n"), 0.02) * 40)),
    "endless chunks": wire(CHUNKED, *((chunk(b" " * 100), 0.01) * 60)),
    "gzip drips": wire(HEAD + b"Content-Encoding: gzip\r\n\r\n", *drip(gzip.compress(b" " * 90))),
    "endless 1xx": wire(*((b"HTTP/1.1 102 Processing\r\n\r\n", 0.01) * 60)),
    "a length too long": wire(sent(length=5000), end="hold"),
}

# The first response is good enough.
ANSWERED = {
    "chunks": wire(CHUNKED, lambda good: chunk(json.dumps(good).encode()) + b"0\r\n\r\n"),
    "chunks with a trailer": wire(
        CHUNKED, lambda good: chunk(json.dumps(good).encode()) + b"0\r\nX-Sum: 1\r\n\r\n"
    ),
    "100 before it": wire(b"HTTP/1.1 100 Continue\r\n\r\n", sent()),
    "103 before it": wire(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", sent()),
    "fifty 1xx before it": wire(b"HTTP/1.1 102 Processing\r\n\r\n" * 50, sent()),
    "closed after it": wire(sent(Connection="close"), end="close"),
    "closed after it without a word": wire(sent(), end="close"),
    "reset after it": wire(sent(), 0.02, end="reset"),
    "no length, closed after it": wire(sent(Content_Length=None), end="close"),
    "HTTP/1.0": wire(usual(lambda data: data.replace(b"HTTP/1.1", b"HTTP/1.0")), end="close"),
    "it comes in pieces": wire(
        usual(lambda data: data[:30]),
        0.01,
        usual(lambda data: data[30:-3]),
        0.01,
        usual(lambda data: data[-3:]),
    ),
    "spaces before it": body(lambda data: b"\n \n" * 50 + data),
    "a mark of its encoding": body(lambda data: b"\xef\xbb\xbf" + data),
    "UTF-16": body(lambda data: data.decode().encode("utf-16")),
    "another type": body(lambda data: data, Content_Type="text/plain"),
    "no type": body(lambda data: data, Content_Type=None),
    "a header of 40 kB": wire(sent(Content_Security_Policy="x" * 40_000)),
    "gzip that was not asked for": body(gzip.compress, Content_Encoding="gzip"),
    "deflate": body(zlib.compress, Content_Encoding="deflate"),
    "a line end after it": wire(sent(), b"\r\n"),
    "a cookie": wire(sent(Set_Cookie="session=1; Domain=127.0.0.1")),
    "status 201": wire(sent("201 Created")),
    "not a number": body(lambda data: data[:-1] + b', "score": NaN, "more": -Infinity}'),
    "half a pair in a text": body(lambda data: data[:-1] + b', "system_fingerprint": "\\ud800"}'),
}

# Tried again in vain, or not tried again: a stored error with these words.
FAILED = {
    "400": (status(400), "HTTP 400"),
    "304": (status(304, b"", Content_Length=None), "HTTP 304"),
    "101": (wire(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\x00\x01"), "HTTP 101"),
    "413 before the request was read": (status(413), "HTTP 413"),
    "a bomb of gzip": (body(lambda data: BOMB, Content_Encoding="gzip"), "larger than 0.1 MB"),
    "a bomb of deflate": (
        body(lambda data: BOMB_OF_ZLIB, Content_Encoding="deflate"),
        "larger than 0.1 MB",
    ),
    "a large body": (body(lambda data: data + b" " * 200_000), "larger than 0.1 MB"),
    "a large body in chunks": (wire(CHUNKED, *([chunk(b" " * 20_000)] * 20)), "larger than 0.1 MB"),
    "a large page with an error": (status(500, b"x" * 200_000), "larger than 0.1 MB"),
}  # fmt: skip
BOMB, BOMB_OF_ZLIB = gzip.compress(bytes(10_000_000)), zlib.compress(bytes(10_000_000))

# What comes after a good answer, while the connection is idle.
LATER = {
    "garbage": b"\x00garbage",
    "a line end": b"\r\n",
    "an answer to nothing": response_bytes(WRONG),
    "the head of an answer to nothing": response_bytes(WRONG)[:-20],
    "ten answers to nothing": response_bytes(WRONG) * 10,
    "a 1xx": b"HTTP/1.1 102 Processing\r\n\r\n",
}

# The run ends with these words; what was answered is stored.
STOPPED = {
    "301": (status(301, Location="http://127.0.0.1:9/v1"), "names another address"),
    "302": (status(302, Location="//other.example/v1"), "names another address"),
    "303": (status(303, Location="/v1/chat/completions"), "names another address"),
    "307 to another port": (status(307, Location="http://127.0.0.1:9/v1"), "names another address"),
    "308 to another host": (status(308, Location="https://other.example/"), "names another address"),
    "429 for a year": (status(429, Retry_After="31536000"), "longest_wait"),
    "503 until 9999": (status(503, Retry_After="Fri, 31 Dec 9999 23:59:59 GMT"), "longest_wait"),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return write_many(tmp_path_factory.mktemp("faults") / "many.tsv", 3)


def answered(bench, folder, fault, always=False, seconds=5.0):
    """Ask three questions, the second with a fault at first, or `always`; returns replies, calls, summary."""
    tries = []

    def behave(call):
        if call.name != 1 or (tries and not always):
            return "ok"
        tries.append(1)
        return fault(completion(true_answer(call.prompt, call.images)))

    options = {"concurrency": 1, "attempts": 5, "backoff": 0.0, "timeout": seconds, "reply_mb": 0.1}
    with FaultyServer(behave) as server:
        card = ModelCard("toy", "openai", model="toy-1", endpoint=server.url, options=options)
        summary = run(bench, folder, card)
        calls = [call.name for call in server.calls]
        truth = {call.name: true_answer(call.prompt, call.images) for call in server.calls}
    records = list(read_records(folder / "replies-0.jsonl"))
    assert len({record["key"] for record in records}) == len(records)
    for record in records:
        assert record["text"] in ("", truth[record["index"]])
    return {record["index"]: record for record in records}, calls, summary


def statuses(replies):
    return {index: reply["status"] for index, reply in sorted(replies.items())}


@pytest.mark.parametrize("kind", RECOVERED)
def test_an_attempt_that_fails_is_made_again(bench, tmp_path, kind):
    replies, calls, summary = answered(bench, tmp_path / "run", RECOVERED[kind])
    assert (statuses(replies), summary.stopped) == ({0: "ok", 1: "ok", 2: "ok"}, ""), replies
    assert calls == [0, 1, 1, 2]
    assert replies[1]["attempts"] == 2


@pytest.mark.parametrize("kind", EITHER)
def test_an_answer_is_stored_once_whether_it_is_taken_or_not(bench, tmp_path, kind):
    replies, _, _ = answered(bench, tmp_path / "run", EITHER[kind])
    assert statuses(replies) == {0: "ok", 1: "ok", 2: "ok"}


@pytest.mark.parametrize("kind", WAITING)
def test_an_attempt_ends_in_time_and_is_made_again(bench, tmp_path, kind):
    replies, calls, _ = answered(bench, tmp_path / "run", WAITING[kind], seconds=SECONDS)
    assert statuses(replies) == {0: "ok", 1: "ok", 2: "ok"}
    assert calls.count(1) >= 2


@pytest.mark.parametrize("kind", ANSWERED)
def test_an_answer_in_odd_clothes_is_paid_once(bench, tmp_path, kind):
    replies, calls, _ = answered(bench, tmp_path / "run", ANSWERED[kind])
    assert statuses(replies) == {0: "ok", 1: "ok", 2: "ok"}
    assert calls == [0, 1, 2]


@pytest.mark.parametrize("kind", FAILED)
def test_an_answer_that_cannot_be_had_is_an_error(bench, tmp_path, kind):
    fault, words = FAILED[kind]
    replies, _, _ = answered(bench, tmp_path / "run", fault, always=True)
    assert statuses(replies) == {0: "ok", 1: "error", 2: "ok"}
    assert words in replies[1]["reason"]


@pytest.mark.parametrize("kind", STOPPED)
def test_a_server_that_cannot_be_asked_ends_the_run(bench, tmp_path, kind):
    fault, words = STOPPED[kind]
    with pytest.raises(ModelError, match=words) if kind[0] == "3" else nullcontext():
        _, calls, summary = answered(bench, tmp_path / "run", fault)
        assert words in summary.stopped
        assert calls == [0, 1]
    assert [record["index"] for record in read_records(tmp_path / "run" / "replies-0.jsonl")] == [0]


@pytest.mark.parametrize("kind", LATER)
def test_no_request_is_sent_over_a_connection_with_bytes_of_another(kind):
    later = Wire((response_bytes(completion("A. (its own)")), 0.01, LATER[kind]))

    async def ask_all(model):
        texts = []
        try:
            for number in range(3):
                request = Request("k", f"Question {number}?", f"Question {number}?", {}, ())
                texts.append((await model.agenerate(request)).text)
                await asyncio.sleep(0.05)
        finally:
            await model.aclose()
        return texts

    with FaultyServer(lambda call: later if call.name == 0 else "ok") as server:
        texts = asyncio.run(
            ask_all(open_model(ModelCard("toy", "openai", model="toy-1", endpoint=server.url)))
        )
        assert texts == ["A. (its own)", *(true_answer(f"Question {n}?", ()) for n in (1, 2))]
        assert len(server.calls) == 3


@pytest.mark.parametrize("fault", ["silent", "body drips", "429 for a while"])
def test_no_attempt_begins_after_the_minutes_of_a_run(tmp_path, fault):
    waits = status(429, Retry_After="500")
    options = {"concurrency": 4, "attempts": 50, "backoff": 0.0, "timeout": 0.3}
    with FaultyServer(lambda call: WAITING.get(fault, waits)(completion("B"))) as server:
        card = ModelCard("toy", "openai", model="toy-1", endpoint=server.url, options=options)
        path = write_many(tmp_path / "many.tsv", 40)
        summary = run(path, tmp_path / "run", card, budget=Budget(minutes=0.002))
        calls = [call.name for call in server.calls]
    assert summary.stopped == "--max-minutes 0.002 is used up"
    assert len(calls) <= 4
    assert len(set(calls)) == len(calls) == summary.sent


def test_what_a_model_takes_is_learnt_within_one_attempt():
    """A server that refuses one setting after the other, each time at the last moment."""
    generation = {"temperature": 0, "top_p": 1, "seed": 1, "stop": ["x"], "max_tokens": 5}
    request = Request("k", "Question 1?", "Question 1?", {}, (), generation=generation)

    async def ask(model):
        try:
            await model.agenerate(request)
        finally:
            await model.aclose()

    with FaultyServer(refusing(*generation), seconds=0.2) as server:
        options = {"timeout": 0.5}
        card = ModelCard("toy", "openai", model="toy-1", endpoint=server.url, options=options)
        with pytest.raises(AttemptError, match=r"no answer within 0.5 s"):
            asyncio.run(ask(open_model(replace(card, generation=generation))))
        assert 2 <= len(server.calls) <= 3


class TestProxies:
    """The environment's proxy, for other machines alone; this server plays one."""

    @pytest.fixture(autouse=True)
    def _own_environment(self, monkeypatch):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)

    def ask(self, endpoint):
        async def once():
            model = open_model(ModelCard("toy", "openai", model="m", endpoint=endpoint))
            try:
                return await model.agenerate(Request("k", "Question 1?", "Question 1?", {}, ()))
            finally:
                await model.aclose()

        return asyncio.run(once())

    def test_it_gets_the_request_and_its_own_login(self, monkeypatch):
        with FaultyServer() as server:
            place = server.url.removesuffix("/v1").replace("http://", "http://me:p%40ss@")
            monkeypatch.setenv("http_proxy", place)
            assert self.ask("http://model.example/v1").status == "ok"
        ((line, headers),) = server.seen
        assert line.startswith("POST http://model.example/v1/chat/completions ")
        assert headers["proxy-authorization"] == f"basic {b64encode(b'me:p@ss').decode().lower()}"

    def test_it_gets_no_request_to_this_machine_or_to_an_exception(self, monkeypatch):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing listens there
        with FaultyServer() as server:
            assert self.ask(server.url).status == "ok"
        monkeypatch.setenv("no_proxy", "127.0.0.2")
        with pytest.raises(AttemptError) as caught:
            self.ask("http://127.0.0.2:9/v1")
        assert "127.0.0.1" not in caught.value.reason

    def test_one_that_does_not_speak_http_is_refused(self, monkeypatch):
        monkeypatch.setenv("all_proxy", "socks5://me:pw@127.0.0.1:9")
        with pytest.raises(ModelError, match=r"must be one of http or https, got 'socks5'") as caught:
            self.ask("http://model.example/v1")
        assert "pw" not in str(caught.value)


def test_a_name_of_a_request_that_is_its_own_is_taken():
    def behave(call):
        return {**completion("B"), "id": f"chatcmpl-{call.headers['x-request-id']}"}

    async def ask(model):
        try:
            request = Request("k", "Question 1?", "Question 1?", {}, ())
            return [(await model.agenerate(request)).text for _ in range(2)]
        finally:
            await model.aclose()

    with FaultyServer(behave) as server:
        card = ModelCard("toy", "openai", model="toy-1", endpoint=server.url)
        assert asyncio.run(ask(open_model(card))) == ["B", "B"]
        names = [call.headers["x-request-id"] for call in server.calls]
    assert len(set(names)) == 2  # a server may refuse a name that it has seen
    assert len({name.split("-")[1] for name in names}) == 1  # an answer from a cache has the first one
