"""Downloading from hosts that behave well, and from hosts that do not."""

from __future__ import annotations

import errno
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmdbench.benches import download as download_module
from mmdbench.benches.catalog import BenchInfo
from mmdbench.benches.data_files import data_path, get_data, list_data, verify_data
from mmdbench.benches.download import DownloadProgress, FetchSettings, mirrored
from mmdbench.benches.fetch import ChecksumWarning, check_file, fetch_bench, recorded_check
from mmdbench.errors import DataError, MmdbenchError, StoreError, UnknownNameError

BODY = b"index\tquestion\timage\n" + b"".join(b"%d\twhat?\tQUJD\n" % i for i in range(30_000))
MD5 = hashlib.md5(BODY).hexdigest()
TAG = '"one"'

Reply = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Host:
    """A server that answers each request with the next of its replies, and repeats the last one."""

    url: str = ""
    replies: list[Reply] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)


def send(
    handler: BaseHTTPRequestHandler,
    body: bytes,
    status: int = 200,
    *,
    length: int | None = None,
    stop: int | None = None,
    **headers: str,
) -> None:
    """Answer with `body`, saying it has `length` bytes, and hang up after `stop` of them."""
    handler.send_response(status)
    if length != -1:
        handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body[:stop])
    handler.close_connection = True


def good(
    handler: BaseHTTPRequestHandler, body: bytes = BODY, tag: str = TAG, stop: int | None = None
) -> None:
    """A host that knows ranges."""
    wanted = handler.headers.get("Range")
    if wanted and handler.headers.get("If-Range") == tag:
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(body):
            send(handler, b"", 416, Content_Range=f"bytes */{len(body)}")
            return
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        send(handler, body[start:], 206, stop=stop, ETag=tag, Content_Range=span)
    else:
        send(handler, body, stop=stop, ETag=tag)


def dropping(after: int) -> Reply:
    return lambda handler: good(handler, stop=after)


def status(code: int, **headers: str) -> Reply:
    return lambda handler: send(handler, b"<html>no</html>", code, Content_Type="text/html", **headers)


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.seen.append(dict(self.headers))
            reply = made.replies[min(len(made.seen), len(made.replies)) - 1]
            reply(self)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}/Toy.tsv"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Shop:
    """A data folder, and fetching into it with waits that are only written down."""

    folder: Path
    info: BenchInfo
    waits: list[float] = field(default_factory=list)
    progress: list[DownloadProgress] = field(default_factory=list)

    def settings(self, **changes: object) -> FetchSettings:
        base = FetchSettings(timeout_s=5, retries=3, sleep=self.waits.append, progress=self.progress.append)
        return replace(base, **changes)

    def fetch(self, *, offline: bool = False, **changes: object) -> Path:
        return fetch_bench(
            self.info, data_dir=self.folder, offline=offline, settings=self.settings(**changes)
        )

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def shop(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "HF_ENDPOINT", "LMUData"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "data").mkdir()
    return Shop(tmp_path / "data", BenchInfo("Toy", "plain", url=host.url, md5=MD5))


def test_a_good_host(host: Host, shop: Shop) -> None:
    host.replies = [good]
    path = shop.fetch()
    assert path.read_bytes() == BODY
    assert shop.files == ["Toy.tsv", "Toy.tsv.json"]
    assert (shop.progress[0].done, shop.progress[-1].done, shop.progress[-1].total) == (
        0,
        len(BODY),
        len(BODY),
    )
    assert host.seen[0]["Accept-Encoding"] == "identity"
    record = json.loads((shop.folder / "Toy.tsv.json").read_text())
    assert (record["md5"], record["url"], record["bytes"]) == (MD5, host.url, len(BODY))
    assert shop.fetch() == path
    assert len(host.seen) == 1


def test_dropped_connections_are_resumed(host: Host, shop: Shop) -> None:
    host.replies = [dropping(100_000), dropping(50_000), dropping(1), good]
    assert shop.fetch().read_bytes() == BODY
    assert [seen.get("Range") for seen in host.seen] == [
        None,
        "bytes=100000-",
        "bytes=150000-",
        "bytes=150001-",
    ]
    assert host.seen[1]["If-Range"] == TAG
    assert shop.waits == [1, 1, 1]


def test_a_later_call_resumes_an_earlier_one(host: Host, shop: Shop) -> None:
    host.replies = [dropping(100_000), status(503)]
    with pytest.raises(MmdbenchError, match=r"503.*To resume.*Toy.tsv") as caught:
        shop.fetch()
    assert caught.value.exit_code == 4
    assert list_part(shop) == 100_000
    host.replies = [good]
    assert shop.fetch().read_bytes() == BODY
    assert host.seen[-1]["Range"] == "bytes=100000-"


def list_part(shop: Shop) -> int:
    return (shop.folder / "Toy.tsv.part").stat().st_size


def test_a_host_that_ignores_ranges_sends_all_again(host: Host, shop: Shop) -> None:
    host.replies = [dropping(100_000), lambda handler: send(handler, BODY, ETag=TAG)]
    assert shop.fetch().read_bytes() == BODY
    assert "Range" in host.seen[1]


def test_a_file_that_changed_at_the_host_is_not_mixed_with_the_old(host: Host, shop: Shop) -> None:
    other = BODY.replace(b"what", b"When")
    shop.info = replace(shop.info, md5=hashlib.md5(other).hexdigest())
    host.replies = [dropping(100_000), lambda handler: good(handler, other, '"two"')]
    assert shop.fetch().read_bytes() == other


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_without_a_promise_of_equal_bytes_nothing_is_resumed(
    host: Host, shop: Shop, headers: dict[str, str]
) -> None:
    host.replies = [lambda h: send(h, BODY, stop=1000, **headers), lambda h: send(h, BODY, **headers)]
    assert shop.fetch().read_bytes() == BODY
    assert "Range" not in host.seen[1]


def test_pieces_that_do_not_fit_together_are_fetched_once_more_and_only_once(host: Host, shop: Shop) -> None:
    wrong = BODY.replace(b"what", b"When")
    host.replies = [dropping(100_000), lambda handler: good(handler, wrong), good]
    assert shop.fetch().read_bytes() == BODY
    assert len(host.seen) == 3
    (shop.folder / "Toy.tsv").unlink()
    host.seen.clear()
    host.replies = [dropping(100_000), lambda handler: good(handler, wrong)]
    with pytest.warns(ChecksumWarning):
        shop.fetch()
    assert len(host.seen) == 3


def test_a_range_that_was_not_asked_for_starts_again(host: Host, shop: Shop) -> None:
    def wrong(handler: BaseHTTPRequestHandler) -> None:
        send(handler, BODY[5:], 206, ETag=TAG, Content_Range=f"bytes 5-{len(BODY) - 1}/{len(BODY)}")

    host.replies = [dropping(100_000), wrong, good]
    assert shop.fetch().read_bytes() == BODY
    assert "Range" not in host.seen[2]


def test_a_part_that_is_already_whole(host: Host, shop: Shop) -> None:
    host.replies = [good]
    (shop.folder / "Toy.tsv.part").write_bytes(BODY)
    (shop.folder / "Toy.tsv.part.json").write_text(json.dumps({"url": host.url, "validator": TAG}))
    assert shop.fetch().read_bytes() == BODY
    (shop.folder / "Toy.tsv").unlink()
    (shop.folder / "Toy.tsv.part").write_bytes(BODY + b"more")
    (shop.folder / "Toy.tsv.part.json").write_text(json.dumps({"url": host.url, "validator": TAG}))
    assert shop.fetch().read_bytes() == BODY


def test_bytes_of_another_address_are_not_resumed(host: Host, shop: Shop) -> None:
    host.replies = [good]
    (shop.folder / "Toy.tsv.part").write_bytes(BODY[:1000])
    (shop.folder / "Toy.tsv.part.json").write_text(json.dumps({"url": "http://other", "validator": TAG}))
    assert shop.fetch().read_bytes() == BODY
    assert "Range" not in host.seen[0]


def test_a_host_that_promises_more_than_it_sends(host: Host, shop: Shop) -> None:
    host.replies = [lambda handler: send(handler, BODY, length=len(BODY) + 10)]
    with pytest.raises(MmdbenchError, match=f"ended after {len(BODY)} of {len(BODY) + 10} bytes"):
        shop.fetch()
    assert len(host.seen) == 4
    assert "Toy.tsv" not in shop.files


def test_a_host_that_promises_less_than_the_file_is_found_out_by_the_checksum(host: Host, shop: Shop) -> None:
    host.replies = [lambda handler: send(handler, BODY, length=len(BODY) - 10, ETag=TAG)]
    with pytest.warns(ChecksumWarning, match="its host may have changed it"):
        path = shop.fetch()
    assert path.read_bytes() == BODY[:-10]
    assert len(host.seen) == 1


def test_a_checksum_that_differs_warns_and_is_recorded_and_does_not_loop(host: Host, shop: Shop) -> None:
    host.replies = [good]
    shop.info = replace(shop.info, md5="0" * 32, other_md5={MD5: "last year's file"})
    with pytest.warns(ChecksumWarning, match=f"{MD5}, not 0000.*last year's file"):
        path = shop.fetch()
    checked = recorded_check(path, shop.info)
    assert checked is not None
    assert (checked.state, checked.md5) == ("mismatch", MD5)
    assert shop.fetch() == path
    assert len(host.seen) == 1


def test_chunked_answers_that_break_are_tried_again(host: Host, shop: Shop) -> None:
    def broken(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        send(handler, b"5\r\nindex\r\nffff\r\nxx", length=-1, Transfer_Encoding="chunked")

    host.replies = [broken, good]
    assert shop.fetch().read_bytes() == BODY


def test_an_answer_without_length_is_taken_as_it_ends(host: Host, shop: Shop) -> None:
    host.replies = [lambda handler: send(handler, BODY, length=-1)]
    assert shop.fetch().read_bytes() == BODY
    assert shop.progress[-1].total is None


def test_an_empty_answer_is_no_file(host: Host, shop: Shop) -> None:
    host.replies = [lambda handler: send(handler, b"")]
    with pytest.raises(MmdbenchError, match="sent nothing"):
        shop.fetch()


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_is_not_taken_for_the_file(host: Host, shop: Shop, kind: str) -> None:
    host.replies = [lambda handler: send(handler, b"\n<!DOCTYPE html><html>login</html>", Content_Type=kind)]
    with pytest.raises(DataError, match="gave a web page"):
        shop.fetch()
    assert len(host.seen) == 1
    assert "Toy.tsv" not in shop.files


def test_a_login_page_does_not_cost_the_bytes_that_are_there(host: Host, shop: Shop) -> None:
    host.replies = [dropping(100_000), lambda handler: send(handler, b"<html>", Content_Type="text/html")]
    with pytest.raises(DataError, match="web page"):
        shop.fetch()
    assert list_part(shop) == 100_000


@pytest.mark.parametrize(
    ("code", "hint"), [(404, "moved"), (403, "by hand"), (401, "login"), (410, "taken down")]
)
def test_final_answers_are_not_asked_again(host: Host, shop: Shop, code: int, hint: str) -> None:
    host.replies = [status(code)]
    with pytest.raises(MmdbenchError, match=f"answered {code}.*{hint}.*{shop.folder / 'Toy.tsv'}"):
        shop.fetch()
    assert len(host.seen) == 1


def test_a_busy_host_is_given_the_time_that_it_asks_for(host: Host, shop: Shop) -> None:
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 50))
    host.replies = [status(429, Retry_After="7"), status(503, Retry_After=soon), status(500), good]
    assert shop.fetch(retries=5).read_bytes() == BODY
    assert shop.waits[0] == 7
    assert 40 < shop.waits[1] <= 50
    assert shop.waits[2] == 4


def test_the_end_of_a_used_up_limit_is_awaited(host: Host, shop: Shop) -> None:
    left = {"RateLimit": '"api";r=0;t=55'}
    host.replies = [status(429, **left), status(503, **left), good]
    assert shop.fetch(retries=5).read_bytes() == BODY
    assert shop.waits[0] == 55
    assert shop.waits[1] < 55  # a fault of the host is no limit


def test_a_host_that_asks_for_an_hour_is_an_error_now(host: Host, shop: Shop) -> None:
    host.replies = [status(429, Retry_After="3600")]
    with pytest.raises(MmdbenchError, match=r"429.*asks to wait 3600 s.*try again later"):
        shop.fetch()
    assert shop.waits == []


def test_waits_grow_and_end(host: Host, shop: Shop) -> None:
    host.replies = [status(502)]
    with pytest.raises(MmdbenchError, match=r"502.*\(8 tries\)"):
        shop.fetch(retries=7, longest_wait_s=20)
    assert shop.waits == [1, 2, 4, 8, 16, 20, 20]


def test_a_host_that_falls_silent(host: Host, shop: Shop) -> None:
    def silent(handler: BaseHTTPRequestHandler) -> None:
        send(handler, BODY, stop=10, ETag=TAG)
        handler.wfile.flush()
        time.sleep(0.5)

    host.replies = [silent, good]
    assert shop.fetch(timeout_s=0.1).read_bytes() == BODY


def test_a_host_that_cannot_be_reached(shop: Shop) -> None:
    shop.info = replace(shop.info, url="http://127.0.0.1:9/Toy.tsv")
    with pytest.raises(MmdbenchError, match=r"no connection.*HF_ENDPOINT.*https_proxy"):
        shop.fetch()


def test_the_proxy_of_the_environment_is_used(
    host: Host, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", host.url.removesuffix("/Toy.tsv"))
    monkeypatch.delenv("no_proxy", raising=False)
    shop.info = replace(shop.info, url="http://files.example.invalid/Toy.tsv")
    host.replies = [good]
    assert shop.fetch().read_bytes() == BODY
    assert host.seen[0]["Host"] == "files.example.invalid"


def test_a_mirror_replaces_hugging_face_only(host: Host, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://huggingface.co/datasets/a/b/resolve/main/Toy.tsv"
    assert mirrored(url) == url
    assert mirrored(url, "hf.example.org/") == "https://hf.example.org/datasets/a/b/resolve/main/Toy.tsv"
    monkeypatch.setenv("HF_ENDPOINT", host.url.removesuffix("/Toy.tsv"))
    assert mirrored("https://huggingface.company.org/x") == "https://huggingface.company.org/x"
    shop.info = replace(shop.info, url=url)
    host.replies = [good]
    assert shop.fetch().read_bytes() == BODY


def test_offline_sends_no_request(host: Host, shop: Shop) -> None:
    with pytest.raises(DataError, match="Toy is not on this machine") as caught:
        shop.fetch(offline=True)
    assert caught.value.exit_code == 2
    assert host.seen == []
    (shop.folder / "Toy.tsv").write_bytes(b"mine")
    assert shop.fetch(offline=True).read_bytes() == b"mine"


def test_an_existing_file_is_not_changed(host: Host, shop: Shop) -> None:
    path = shop.folder / "Toy.tsv"
    path.write_bytes(b"edited by its owner")
    assert shop.fetch() == path
    assert check_file(path, shop.info).state == "mismatch"
    assert (path.read_bytes(), host.seen) == (b"edited by its owner", [])


def test_two_at_once_download_once(host: Host, shop: Shop) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.3)
        good(handler)

    host.replies = [slow]
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(shop.fetch(sleep=time.sleep))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in paths] == [BODY] * 3
    assert len(host.seen) == 1
    assert shop.files == ["Toy.tsv", "Toy.tsv.json"]


def test_a_full_disk_is_an_error_before_and_during_a_download(
    host: Host, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.replies = [good]
    with monkeypatch.context() as patched:
        patched.setattr(download_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        with pytest.raises(StoreError, match=r"MiB left.*--data-dir"):
            shop.fetch()

    class Full:
        def write(self, _: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            pass

        __enter__, __exit__ = (lambda self: self), (lambda *_: None)

    # Private: a disk cannot be filled in a test.
    monkeypatch.setattr(download_module, "_open_part", lambda *_: Full())
    with pytest.raises(StoreError, match=r"No space left.*run the same command again"):
        shop.fetch()
    assert "Toy.tsv" not in shop.files


def test_a_folder_that_cannot_be_made(host: Host, shop: Shop) -> None:
    (shop.folder / "file").write_text("")
    shop.folder = shop.folder / "file" / "sub"
    with pytest.raises(StoreError, match="sub"):
        shop.fetch()


def test_data_commands(host: Host, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmdbench.benches import catalog

    table = catalog.parse_catalog(
        f'[Toy]\nfamily = "plain"\nurl = "https://example.org/Toy.tsv"\nmd5 = "{MD5}"\nsets = ["mmd"]\n'
        '[Other]\nfamily = "plain"\nurl = "https://example.org/Other.tsv"\n'
    )
    table["Toy"] = replace(table["Toy"], url=host.url)
    # Private: the catalogue is the package's own, and no user adds to it.
    monkeypatch.setattr(catalog, "_catalog", lambda: table)
    monkeypatch.setattr(catalog, "_lookup", catalog._lookup.__wrapped__)  # noqa: SLF001 - see above
    host.replies = [dropping(1000), status(404), good]

    def states(files: object) -> list[tuple[str, str, str, int]]:
        return [(f.info.name, f.state, f.checksum, f.bytes) for f in files]

    folder = shop.folder
    assert states(list_data(folder)) == [
        ("Toy", "absent", "unchecked", 0),
        ("Other", "absent", "unchecked", 0),
    ]
    with pytest.raises(MmdbenchError, match="404"):
        get_data("toy", data_dir=folder, settings=shop.settings())
    assert states(list_data(folder))[0] == ("Toy", "partial", "unchecked", 1000)
    assert states(get_data(["mmd"], data_dir=folder, settings=shop.settings())) == [
        ("Toy", "present", "ok", len(BODY))
    ]
    path = data_path("toy", data_dir=folder)
    assert path == folder / "Toy.tsv"
    with pytest.raises(DataError, match="Other is not on this machine"):
        data_path("Other", data_dir=folder)
    path.write_bytes(BODY + b"more")
    (folder / "Other.tsv").write_bytes(b"x")
    assert states(list_data(folder))[0][:3] == ("Toy", "present", "mismatch")
    assert [f[2] for f in states(verify_data(data_dir=folder))] == ["mismatch", "unknown"]
    assert [f[2] for f in states(list_data(folder))] == ["mismatch", "unknown"]
    with pytest.raises(UnknownNameError):
        get_data("nothing", data_dir=folder)
    with pytest.raises(DataError, match="not in the catalogue"):
        verify_data("my/file.tsv", data_dir=folder)
