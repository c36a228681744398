"""Inputs, builds and runs behind URLs: whole or not at all, resumed, and without secrets."""

from __future__ import annotations

import errno
import hashlib
import json
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from mmdbench import forecast
from mmdbench.cli import app
from mmdbench.errors import (
    DataError,
    LockedError,
    MissingExtraError,
    StoreError,
    UnknownNameError,
    UsageError,
)
from mmdbench.system.remote import (
    add_from_data_url,
    data_folder,
    fetch_file,
    is_url,
    plain_url,
    reading_copy,
    uploads,
    working_copy,
)
from mmdbench.system.remote.urls import open_remote

fsspec = pytest.importorskip("fsspec")

MINI = Path(__file__).parents[2] / "mmdbench/benches/data/mini.tsv"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MMDBENCH_UPLOAD_SECONDS", "3600")


@pytest.fixture
def url():
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def store():
    return fsspec.filesystem("memory")


def put(url: str, text: str | bytes) -> None:
    data = text.encode() if isinstance(text, str) else text
    files, path = fsspec.core.url_to_fs(url)
    files.pipe_file(path, data)


def there(url: str) -> dict[str, bytes]:
    files, path = fsspec.core.url_to_fs(url)
    start = path.rstrip("/") + "/"
    return {name.removeprefix(start): files.cat_file(name) for name in files.find(path)}


def other_machine(monkeypatch, tmp_path, name="other"):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.output


def write(url: str, files: dict[str, str]) -> Path:
    with working_copy(url) as folder:
        for name, text in files.items():
            (folder / name).write_text(text)
    return folder


def refuses_to_read(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message), reading_copy(url):
        pass


def killed(*_args: object) -> None:
    raise SystemExit


@pytest.fixture
def failed(monkeypatch):
    """An event that is set once a failed upload was reported through `tell`, and the texts reported."""
    monkeypatch.setenv("MMDBENCH_UPLOAD_SECONDS", "0.05")
    event, said = threading.Event(), []

    def tell(text):
        said.append(text)
        event.set()

    return SimpleNamespace(is_set=event.is_set, wait=event.wait, said=said, tell=tell)


def fail_in(url: str, name: str, text: str, tell=lambda _: None) -> None:
    with working_copy(url, tell) as folder:
        (folder / name).write_text(text)
        raise UsageError("failed")


# URLs


@pytest.mark.parametrize(
    "text", ["runs/a", "C:/runs", "C:\\runs", "paper:clear-rl", "vlmeval:MMStar", "", "/a//b"]
)
def test_paths_and_names_are_not_urls(text):
    assert not is_url(text)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("s3://key:secret@bucket/a/own.tsv", "s3://bucket/a/own.tsv"),
        ("https://host/a.tsv?X-Amz-Signature=secret#secret", "https://host/a.tsv"),
        ("hf://datasets/me/set@main/a.tsv", "hf://datasets/me/set@main/a.tsv"),
        ("hf://me/model@main/a.tsv", "hf://me/model@main/a.tsv"),
        ("S3://bucket//a//b", "s3://bucket//a//b"),
    ],
)
def test_secret_parts_of_a_url_are_removed(url, plain):
    assert plain_url(url) == plain


def test_a_file_url_is_the_plain_path(tmp_path):
    assert fetch_file(f"file://{tmp_path}/own.tsv") == tmp_path / "own.tsv"
    assert data_folder(f"file://{tmp_path}") == tmp_path
    with reading_copy(f"file://{tmp_path}/run") as folder:
        assert folder == tmp_path / "run"
    with working_copy(f"file://localhost{tmp_path}/run") as folder:
        assert folder == tmp_path / "run"
    with pytest.raises(UsageError, match="must hold an absolute path"):
        fetch_file("file://own.tsv")


def test_without_fsspec_the_install_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError) as error:
        fetch_file("s3://bucket/own.tsv")
    assert "pip install 'mmdbench[remote]'" in str(error.value)


@pytest.mark.parametrize(
    ("url", "package"),
    [("s3://b/a", "s3fs"), ("gs://b/a", "gcsfs"), ("hf://datasets/a/b/c", "huggingface_hub")],
)
def test_without_the_package_of_a_scheme_it_is_named(monkeypatch, url, package):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    known = sys.modules["fsspec.registry"]._registry  # noqa: SLF001 - fsspec forgets a scheme in no other way
    monkeypatch.delitem(known, url.partition(":")[0], raising=False)
    with pytest.raises(StoreError) as error:
        fetch_file(url)
    assert f"pip install {package}" in str(error.value)


def test_an_unknown_scheme_is_refused():
    with pytest.raises(UnknownNameError, match="Unknown scheme 'ssss'"):
        open_remote("ssss://bucket/a")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("Forbidden"), "no permission"),
        (OSError("Connection to https://me:secret@host/?sig=secret failed"), "Check the network"),
        (FileNotFoundError("bucket"), "does not exist"),
    ],
)
def test_errors_of_a_file_system_are_shown_without_secrets(url, store, monkeypatch, error, said):
    put(f"{url}/run/manifest.json", "{}")

    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(type(store), "get_file", fail)
    with pytest.raises(StoreError) as raised, reading_copy(f"{url}/run"):
        pass
    assert said in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("one", "other"), [("s3://b/run", "s3://b/run/"), ("s3://b/run", "S3://b/run//"), ("s3://", "s3:///")]
)
def test_slashes_at_the_end_of_a_url_name_no_other_place(monkeypatch, one, other):
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: (None, url))
    assert open_remote(one) == open_remote(other)
    assert open_remote(one).cache == open_remote(other).cache


def test_a_slash_that_ends_a_signature_stays(monkeypatch):
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: (None, url))
    place = open_remote("https://host/own.tsv?sig=abc/")
    assert (place.shown, place.path) == ("https://host/own.tsv", "https://host/own.tsv?sig=abc/")


# Inputs


def test_a_file_is_copied_once_and_again_when_it_changed(url, store, monkeypatch):
    put(f"{url}/own.tsv", "one")
    first = fetch_file(f"{url}/own.tsv")
    assert (first.name, first.read_text()) == ("own.tsv", "one")
    monkeypatch.setattr(type(store), "get_file", None)
    assert fetch_file(f"{url}/own.tsv") == first
    monkeypatch.undo()
    put(f"{url}/own.tsv", "another")
    assert fetch_file(f"{url}/own.tsv").read_text() == "another"


def test_a_cut_transfer_is_not_taken_for_the_file(url, store, monkeypatch, tmp_path):
    put(f"{url}/own.tsv", "x" * 1000)
    whole = type(store).get_file

    def cut(self, path, here, **options):
        whole(self, path, here, **options)
        Path(here).write_text("x" * 999)

    monkeypatch.setattr(type(store), "get_file", cut)
    with pytest.raises(StoreError, match="999 bytes"):
        fetch_file(f"{url}/own.tsv")
    assert not list(tmp_path.rglob("own.tsv"))


@pytest.fixture
def told():
    """Headers of a server on this machine that has one file, b"12345"."""
    headers: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"12345")

        def log_message(self, *_words: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield headers, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_that_sends_no_length_is_read(told):
    pytest.importorskip("aiohttp")
    _, server = told
    path = fetch_file(f"{server}/own.tsv?token=secret")
    assert (path.name, path.read_text()) == ("own.tsv", "12345")
    path.write_text("older")
    assert fetch_file(f"{server}/own.tsv?token=secret").read_text() == "12345"


def test_a_wrong_length_is_an_error_without_the_query(told):
    pytest.importorskip("aiohttp")
    headers, server = told
    headers["Content-Length"] = "1000"
    with pytest.raises(StoreError, match=r"^own\.tsv of .* has another size or digest .*5 bytes") as error:
        fetch_file(f"{server}/own.tsv?token=secret")
    assert "secret" not in str(error.value)


def test_a_missing_file_and_a_folder_are_different_errors(url):
    put(f"{url}/folder/own.tsv", "x")
    with pytest.raises(StoreError, match="There is no file"):
        fetch_file(f"{url}/missing.tsv")
    with pytest.raises(UsageError, match="is a folder"):
        fetch_file(f"{url}/folder")


def test_only_requested_files_of_a_data_folder_are_copied(url):
    from mmdbench.benches.fetch import find_file

    put(f"{url}/data/one.tsv", "1")
    put(f"{url}/data/two.tsv", "2")
    folder = data_folder(f"{url}/data")
    assert find_file("one.tsv", folder).read_text() == "1"
    assert find_file("one.tsv", f"{url}/data").read_text() == "1"
    assert [path.name for path in folder.glob("*.tsv")] == ["one.tsv"]
    assert find_file(f"{uuid.uuid4().hex}.tsv", folder) is None


def test_a_dry_run_downloads_no_benchmark(url, tmp_path):
    put(f"{url}/own.tsv", MINI.read_bytes())
    asked = ("eval", "--model", "chance", "--bench", f"{url}/own.tsv", "--level", "hard", "--quiet")
    built = ("build", "--bench", f"{url}/own.tsv", "--level", "hard", "-o", tmp_path / "b")
    size = f"{len(MINI.read_bytes()) / 1e6:,.1f} MB"
    for words in (asked, built):
        assert f"({size}) is not on this machine, and a dry run" in run(*words, "--dry-run", code=2)
    with pytest.raises(DataError, match="leave out --dry-run"):
        forecast("chance", f"{url}/own.tsv", progress=False)
    assert not list((tmp_path / "cache").rglob("own.tsv"))
    run(*asked, "--sample", "2", "-o", tmp_path / "run")
    assert "to ask  160" in run(*asked, "--dry-run")
    assert "160 questions" in run(*built, "--dry-run")


def test_a_dry_run_counts_a_benchmark_of_a_data_folder_at_a_url_by_its_published_rows(url, tmp_path):
    put(f"{url}/MMVP.tsv", MINI.read_bytes())
    words = ("eval", "--model", "chance", "--bench", "MMVP", "--data-dir", url, "--level", "hard")
    assert "Not on this machine: MMVP (300 rows)" in run(*words, "--dry-run")
    assert not list((tmp_path / "cache").rglob("MMVP.tsv"))


def test_a_benchmark_is_opened_by_its_url(url):
    from mmdbench.benches import open_bench

    put(f"{url}/own.tsv", MINI.read_bytes())
    bench = open_bench(f"{url}/own.tsv")
    assert (bench.name, bench.sha256) == ("own", hashlib.sha256(MINI.read_bytes()).hexdigest())


def test_released_files_of_a_data_folder_are_found(url):
    from mmdbench.variants.released import find_released_files

    put(f"{url}/data/MMVP_LOW_LEVEL_HIGH.tsv", "x")
    put(f"{url}/data/MMStar_LOW_LEVEL_HIGH.tsv", "x")
    (found,) = find_released_files("MMVP", data_folder(f"{url}/data"))
    assert (found.level, found.path.name) == ("hard", "MMVP_LOW_LEVEL_HIGH.tsv")
    assert not (found.path.parent / "MMStar_LOW_LEVEL_HIGH.tsv").exists()


# Folders


def test_files_of_a_working_copy_are_read_on_another_machine(url, tmp_path, monkeypatch):
    with working_copy(f"{url}/run") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.bin").write_bytes(b"abc")
        (folder / "manifest.json").write_text("{}")
        (folder / ".parts").mkdir()
        (folder / ".parts" / "half").write_text("x")
    files = there(f"{url}/run")
    assert sorted(files) == ["manifest.json", "remote.json", "sub/a.bin"]
    listed = json.loads(files["remote.json"])["files"]
    assert listed["sub/a.bin"] == {"size": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    other_machine(monkeypatch, tmp_path)
    with reading_copy(f"{url}/run") as folder:
        assert (folder / "sub" / "a.bin").read_bytes() == b"abc"
        assert folder.name == "run"


def test_the_list_comes_last_and_the_manifest_before_it(url, store, monkeypatch):
    order = []

    def noting(real, place):
        def note(*words, **options):
            order.append(words[place].rpartition("/")[2])
            return real(*words, **options)

        return note

    monkeypatch.setattr(type(store), "put_file", noting(type(store).put_file, 2))
    monkeypatch.setattr(type(store), "pipe_file", noting(type(store).pipe_file, 1))
    write(f"{url}/run", {name: name for name in ("manifest.json", "zz.tsv", "a.jsonl")})
    assert [name for name in order if name != "run"] == ["a.jsonl", "zz.tsv", "manifest.json", "remote.json"]


def test_an_interrupted_upload_is_refused_by_readers_and_resumed_by_the_writer(
    url, store, monkeypatch, tmp_path
):
    folder = write(f"{url}/run", {"replies-0.jsonl": "1\n", "manifest.json": "{}"})
    real = type(store).put_file

    def breaks(self, here, path, **options):
        if path.endswith("manifest.json"):
            raise OSError("connection reset")
        return real(self, here, path, **options)

    monkeypatch.setattr(type(store), "put_file", breaks)
    with pytest.raises(StoreError, match="Nothing is lost"):
        write(f"{url}/run", {"replies-0.jsonl": "1\n2\n", "manifest.json": '{"more": 1}'})
    monkeypatch.setattr(type(store), "put_file", real)
    here = folder
    other_machine(monkeypatch, tmp_path)
    refuses_to_read(f"{url}/run", r"partly uploaded.*replies-0\.jsonl")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with working_copy(f"{url}/run") as folder:
        assert folder == here
        assert (folder / "replies-0.jsonl").read_text() == "1\n2\n"
    other_machine(monkeypatch, tmp_path)
    with reading_copy(f"{url}/run") as folder:
        assert (folder / "manifest.json").read_text() == '{"more": 1}'


def test_a_file_of_the_right_length_with_other_bytes_is_refused(url, tmp_path):
    write(f"{url}/run", {"manifest.json": "{}"})
    put(f"{url}/run/manifest.json", "[]")
    refuses_to_read(f"{url}/run", "another size or digest")


def test_the_work_is_uploaded_when_a_verb_fails(url):
    with pytest.raises(UsageError, match=r"^failed$"):
        fail_in(f"{url}/run", "replies-0.jsonl", "1\n")
    assert there(f"{url}/run")["replies-0.jsonl"] == b"1\n"


def test_a_failed_upload_does_not_hide_why_the_verb_failed(url, store, monkeypatch):
    said = []
    monkeypatch.setattr(type(store), "put_file", None)
    with pytest.raises(UsageError, match=r"^failed$"):
        fail_in(f"{url}/run", "a", "1", said.append)
    assert "Nothing is lost" in said[0]


def test_nothing_new_is_nothing_to_upload(url, store, monkeypatch):
    write(f"{url}/run", {"a.tsv": "1"})
    monkeypatch.setattr(type(store), "put_file", None)
    monkeypatch.setattr(type(store), "get_file", None)
    monkeypatch.setattr(type(store), "pipe_file", None)
    with working_copy(f"{url}/run") as folder:
        (folder / "a.tsv").touch()
    with working_copy(f"{url}/empty") as folder:
        assert not any(folder.iterdir())


def test_a_file_removed_locally_is_removed_remotely(url):
    write(f"{url}/run", {"a": "1", "b": "2"})
    with working_copy(f"{url}/run") as folder:
        (folder / "a").unlink()
    assert sorted(there(f"{url}/run")) == ["b", "remote.json"]


def test_another_machine_continues(url, tmp_path, monkeypatch):
    write(f"{url}/run", {"replies-0.jsonl": "1\n"})
    other_machine(monkeypatch, tmp_path)
    with working_copy(f"{url}/run") as folder, (folder / "replies-0.jsonl").open("a") as file:
        file.write("2\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with working_copy(f"{url}/run") as folder:
        assert (folder / "replies-0.jsonl").read_text() == "1\n2\n"


def test_two_machines_that_both_changed_a_file_lose_nothing(url, tmp_path, monkeypatch):
    mine = write(f"{url}/run", {"replies-0.jsonl": "1\n"})
    other_machine(monkeypatch, tmp_path)
    with working_copy(f"{url}/run") as folder, (folder / "replies-0.jsonl").open("a") as file:
        file.write("2\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with (mine / "replies-0.jsonl").open("a") as file:  # as a killed process leaves it
        file.write("3\n")
    with pytest.raises(StoreError, match=r"changed by another machine.*mmdbench merge"):
        write(f"{url}/run", {})
    assert (mine / "replies-0.jsonl").read_text() == "1\n3\n"
    assert there(f"{url}/run")["replies-0.jsonl"] == b"1\n2\n"


def test_a_writer_killed_between_uploading_and_noting_it_is_no_conflict(url, store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "files_there", killed)
        with pytest.raises(SystemExit), working_copy(f"{url}/run") as folder:
            (folder / "replies-0.jsonl").write_text("1\n")
    (folder / "replies-0.jsonl").write_text("1\n2\n")
    with working_copy(f"{url}/run") as folder:
        assert (folder / "replies-0.jsonl").read_text() == "1\n2\n"
    assert there(f"{url}/run")["replies-0.jsonl"] == b"1\n2\n"


def test_a_writer_killed_before_the_list_writes_it_the_next_time(url, monkeypatch):
    with monkeypatch.context() as patch:
        # Private: only here a process can be killed after the files and before their list.
        patch.setattr(uploads.Uploads, "_close", killed)
        with pytest.raises(SystemExit):
            write(f"{url}/run", {"replies-0.jsonl": "1\n"})
    assert sorted(there(f"{url}/run")) == ["replies-0.jsonl"]
    write(f"{url}/run", {})
    with reading_copy(f"{url}/run") as folder:
        assert (folder / "replies-0.jsonl").read_text() == "1\n"
    assert sorted(there(f"{url}/run")) == ["remote.json", "replies-0.jsonl"]


def test_a_file_that_is_removed_there_already_is_no_obstacle(url, store):
    write(f"{url}/run", {"a": "1", "b": "2"})
    with working_copy(f"{url}/run") as folder:
        store.rm_file(fsspec.core.url_to_fs(f"{url}/run/a")[1])
        (folder / "a").unlink()
    assert sorted(there(f"{url}/run")) == ["b", "remote.json"]


def both_at_once(url, first, second):
    """Two machines start from nothing, and the second one uploads last; returns the first one's folder."""
    mine = write(url, first)
    for name, text in second.items():
        put(f"{url}/{name}", text)
    return mine


def test_replies_that_are_only_local_are_not_replaced(url):
    first = {"manifest.json": "{}", "replies-0.jsonl": "1\n2\n"}
    mine = both_at_once(f"{url}/run", first, {"manifest.json": "[]", "replies-0.jsonl": "1\n33\n"})
    with pytest.raises(StoreError, match=r"changed by another machine.*mmdbench merge"):
        write(f"{url}/run", {})
    assert {name: (mine / name).read_text() for name in first} == first
    assert there(f"{url}/run")["replies-0.jsonl"] == b"1\n33\n"


@pytest.mark.parametrize("text", ["1\n2\n33\n", "2\n1\n"])
def test_a_remote_file_with_every_local_reply_replaces_the_local_one(url, text):
    mine = both_at_once(f"{url}/run", {"replies-0.jsonl": "1\n2\n3"}, {"replies-0.jsonl": text})
    with working_copy(f"{url}/run"):
        assert (mine / "replies-0.jsonl").read_text() == text


def test_two_writers_on_one_machine_are_refused(url):
    with (
        working_copy(f"{url}/run"),
        pytest.raises(LockedError, match="this machine"),
        working_copy(f"{url}/run"),
    ):
        pass


def test_a_reader_may_read_while_this_machine_writes(url):
    write(f"{url}/run", {"a": "1"})
    with working_copy(f"{url}/run"), reading_copy(f"{url}/run") as folder:
        assert (folder / "a").read_text() == "1"


def test_a_working_copy_is_uploaded_at_intervals(url, store, monkeypatch):
    arrived = threading.Event()
    real = type(store).pipe_file

    def note(self, path, value, **options):
        result = real(self, path, value, **options)
        if path.endswith("remote.json"):
            arrived.set()
        return result

    monkeypatch.setattr(type(store), "pipe_file", note)
    monkeypatch.setenv("MMDBENCH_UPLOAD_SECONDS", "0.05")
    with working_copy(f"{url}/run") as folder:
        (folder / "replies-0.jsonl").write_text("1\n")
        assert arrived.wait(60)
        assert there(f"{url}/run")["replies-0.jsonl"] == b"1\n"


def test_a_failed_upload_is_shown_and_repeated(url, store, monkeypatch, failed):
    real = type(store).put_file

    def fails_once(self, here, path, **options):
        if not failed.is_set():
            raise OSError("connection reset")
        return real(self, here, path, **options)

    monkeypatch.setattr(type(store), "put_file", fails_once)
    with working_copy(f"{url}/run", failed.tell) as folder:
        (folder / "a").write_text("1")
        assert failed.wait(60)
    assert "next try" in failed.said[0]
    assert there(f"{url}/run")["a"] == b"1"


def no_room(*_args, **_options):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_ends_neither_the_uploads_nor_the_work(url, monkeypatch, failed):
    real = uploads.shutil.copyfile

    def copy(here, target):
        return real(here, target) if failed.is_set() else no_room()

    monkeypatch.setattr(uploads.shutil, "copyfile", copy)
    with working_copy(f"{url}/run", failed.tell) as folder:
        (folder / "replies-0.jsonl").write_text("1\n")
        assert failed.wait(60)
        for _ in range(600):
            if there(f"{url}/run").get("replies-0.jsonl"):
                break
            threading.Event().wait(0.1)
        assert there(f"{url}/run")["replies-0.jsonl"] == b"1\n"
    assert "No space left on device. The next try" in failed.said[0]


def test_a_full_disk_does_not_hide_why_the_verb_failed(url, monkeypatch):
    said = []
    monkeypatch.setattr(uploads.shutil, "copyfile", no_room)
    with pytest.raises(UsageError, match=r"^failed$"):
        fail_in(f"{url}/run", "a.log", "1", said.append)
    assert "No space left on device" in said[0]
    assert "Nothing is lost" in said[0]


def test_a_file_that_vanishes_while_it_is_uploaded_is_left_out(url, monkeypatch):
    real = uploads.shutil.copyfile

    def copy(here, target):
        if here.name == "a.log":
            here.unlink()
        return real(here, target)

    monkeypatch.setattr(uploads.shutil, "copyfile", copy)
    write(f"{url}/run", {"a.log": "1", "b.log": "2"})
    assert sorted(there(f"{url}/run")) == ["b.log", "remote.json"]


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan"])
def test_a_wrong_interval_is_refused(url, monkeypatch, text):
    monkeypatch.setenv("MMDBENCH_UPLOAD_SECONDS", text)
    with pytest.raises(UsageError, match="MMDBENCH_UPLOAD_SECONDS"), working_copy(f"{url}/run"):
        pass


def test_an_invalid_list_is_refused_and_a_missing_one_is_accepted(url):
    put(f"{url}/run/a", "1")
    with reading_copy(f"{url}/run") as folder:
        assert (folder / "a").read_text() == "1"
    put(f"{url}/run/remote.json", "[]")
    refuses_to_read(f"{url}/run", r"remote\.json is not a list")


def test_a_file_removed_remotely_is_removed_from_the_reading_copy(url, store):
    put(f"{url}/run/a", "1")
    put(f"{url}/run/b", "2")
    with reading_copy(f"{url}/run"):
        pass
    files, path = fsspec.core.url_to_fs(f"{url}/run/b")
    files.rm_file(path)
    with reading_copy(f"{url}/run") as folder:
        assert [path.name for path in folder.iterdir()] == ["a"]
    refuses_to_read(f"{url}/none", "There is nothing at")


# Verbs


def test_a_build_elsewhere_is_the_local_build_to_the_byte(url, tmp_path):
    put(f"{url}/own.tsv", MINI.read_bytes())
    (tmp_path / "own.tsv").write_bytes(MINI.read_bytes())
    words = ("--level", "hard", "--corruption", "lens_blur,jpeg_compression", "--sample", "4", "--quiet")
    run("build", "--bench", f"{url}/own.tsv", *words, "-o", f"{url}/degraded")
    run("build", "--bench", tmp_path / "own.tsv", *words, "-o", tmp_path / "local")
    files = there(f"{url}/degraded")
    files.pop("remote.json")
    local = {
        p.relative_to(tmp_path / "local").as_posix(): p
        for p in (tmp_path / "local").rglob("*")
        if p.is_file()
    }
    assert files == {name: p.read_bytes() for name, p in local.items() if not p.name.startswith(".")}
    assert "all right" in run("verify", f"{url}/degraded", "--source", f"{url}/own.tsv", "--quiet")
    assert "4 rows were there" in run("build", "--bench", f"{url}/own.tsv", *words, "-o", f"{url}/degraded")


def test_a_url_in_place_of_a_path_is_refused(tmp_path):
    said = run(
        "corrupt",
        "s3://bucket/a.png",
        "-o",
        tmp_path / "a.png",
        "--corruption",
        "lens_blur",
        "--level",
        "low",
        code=2,
    )
    assert "s3://" in said
    assert "on this machine" in said


def test_the_same_url_is_not_read_and_written(url):
    assert "both read and written" in run("merge", f"{url}/a", f"{url}/b", "-o", f"{url}/a/", code=2)


def test_other_spellings_of_a_url_do_not_wait_for_each_other(url, monkeypatch):
    from mmdbench.cli._shared.urls import FOLDER, OUT, RUN, open_urls
    from mmdbench.system.remote import copies

    monkeypatch.setattr(copies, "_WAIT_SECONDS", 0.0)  # private: users wait ten minutes, a test does not
    put(f"{url}/run/a", "1")
    name = url.removeprefix("memory")
    runs = [
        FOLDER(f"{url}/run"),
        FOLDER(f"MEMORY{name}/run/"),
        FOLDER(f"{url}/run?token=1"),
        RUN(f"{url}/run/"),
    ]
    with open_urls({"runs": runs}) as values:
        *paths, text = values["runs"]
        assert len({*paths}) == 1
        assert text == str(paths[0])
    with (
        pytest.raises(UsageError, match="must not be both read and written"),
        open_urls({"run": FOLDER(f"{url}/run"), "out": OUT(f"MEMORY{name}/run/?token=1")}),
    ):
        pass


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("https://me:key@host/own.tsv?sig=key", "https://host/own.tsv"),
        ("--data-dir=https://host/a?sig=key,key", "--data-dir=https://host/a"),
        (
            "MMStar,https://h/a.tsv?sig=key,s3://key:key@b/c.tsv,MMVP",
            "MMStar,https://h/a.tsv,s3://b/c.tsv,MMVP",
        ),
        ("chance", "chance"),
    ],
)
def test_ctrl_c_names_the_command_without_the_secrets_of_its_urls(monkeypatch, capsys, word, shown):
    from mmdbench.cli._shared.errors import guarded

    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["mmdbench", "eval", word])
    with pytest.raises(typer.Exit):
        guarded(stopped)()
    assert capsys.readouterr().err.endswith(f": mmdbench eval {shown}\n")


RUN = ("--model", "chance", "--level", "clean,hard", "--corruption", "jpeg_compression")
RUN += ("--sample", "4", "--quiet")


def test_a_remote_run_is_resumed_read_and_merged(url, tmp_path, monkeypatch):
    put(f"{url}/data/own.tsv", MINI.read_bytes())
    asked = ("eval", "--bench", f"{url}/data/own.tsv", *RUN)
    run(*asked, "--shard", "1/2", "-o", f"{url}/shards/1")
    other_machine(monkeypatch, tmp_path)
    run(*asked, "--shard", "2/2", "-o", f"{url}/shards/2")
    run("merge", f"{url}/shards/1", f"{url}/shards/2", "-o", f"{url}/run")
    assert {"manifest.json", "remote.json", "replies-0.jsonl"} <= set(there(f"{url}/run"))

    put(f"{url}/data/MINI_COPY.tsv", MINI.read_bytes())
    printed = run("report", f"{url}/run", "--json").rpartition("}")[0]  # without the ages of replies
    run("report", f"{url}/run")
    assert run("report", f"{url}/run", "--json").rpartition("}")[0] == printed
    baseline = tmp_path / "baseline.json"
    run("check", f"{url}/run", "--baseline", baseline, "--accept")
    run("cite", f"{url}/run")
    assert "no difference in recorded settings" in run("compare", f"{url}/run", f"{url}/run")
    run("page", f"{url}/run", "-o", tmp_path / "page.html", "--data-dir", f"{url}/data", "--quiet")
    assert "data:image/" in (tmp_path / "page.html").read_text("utf-8")

    before = there(f"{url}/run")["replies-0.jsonl"]
    run("eval", "--bench", f"{url}/data/own.tsv", *RUN, "-o", f"{url}/run")
    assert there(f"{url}/run")["replies-0.jsonl"] == before
    assert "report.json" in there(f"{url}/run") or "report.md" in there(f"{url}/run")


def test_no_secret_of_a_url_is_written_anywhere(tmp_path, monkeypatch, store, url):
    """The URL of an input may carry a key; neither a manifest nor the cache does."""
    put(f"{url}/own.tsv", MINI.read_bytes())
    secret = uuid.uuid4().hex
    with_key = f"memory://me:{secret}@{url.removeprefix('memory://')}/own.tsv?X-Amz-Signature={secret}"
    real = fsspec.core.url_to_fs
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda given, **options: real(plain_url(given), **options))
    said = run("eval", "--bench", with_key, *RUN, "-o", f"{url}/run")
    everything = [
        *there(f"{url}/run").values(),
        *(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()),
    ]
    assert len(everything) > 5
    assert secret.encode() not in b"".join(everything)
    assert not [path for path in tmp_path.rglob("*") if secret in str(path)]
    assert secret not in said


# Keys that are no names of files


@pytest.mark.parametrize(
    "key", ["/{elsewhere}/x", "../x", "a/../../x", "a//b", ".hidden//x", "a/./b", "C:x", "a\\..\\x"]
)
@pytest.mark.parametrize("open_copy", [reading_copy, working_copy])
def test_a_key_that_leads_out_of_the_copy_is_refused(url, store, tmp_path, key, open_copy):
    """`run//home/me/x` is a key that object stores accept; joined to a folder it is an absolute path."""
    (tmp_path / "x").write_text("mine")
    put(f"{url}/manifest.json", "{}")
    store.store[f"/{url.partition('://')[2]}/{key.format(elsewhere=tmp_path)}"] = store.store[
        f"/{url.partition('://')[2]}/manifest.json"
    ]
    with pytest.raises(StoreError, match="which is not inside"), open_copy(url):
        pass
    assert (tmp_path / "x").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "x"]


def test_a_key_that_stands_for_a_folder_is_no_file(url, store):
    put(f"{url}/manifest.json", "{}")
    store.store[f"/{url.partition('://')[2]}/logs/"] = store.store[
        f"/{url.partition('://')[2]}/manifest.json"
    ]
    with reading_copy(url) as folder:
        assert [p.name for p in folder.iterdir()] == ["manifest.json"]


def test_the_list_of_a_remote_folder_names_no_file_elsewhere(url, tmp_path):
    (tmp_path / "x").write_text("mine")
    listing = {"kind": "mmdbench remote folder", "files": {f"{tmp_path}/x": {"size": 2, "sha256": ""}}}
    put(f"{url}/remote.json", json.dumps(listing))
    refuses_to_read(url, "only partly uploaded")
    assert (tmp_path / "x").read_text() == "mine"


@pytest.mark.parametrize("end", ["..", "run/..", "."])
def test_a_url_that_ends_above_itself_is_copied_to_a_folder_of_its_own(end):
    assert open_remote(f"memory://bucket/{end}").name == "root"


def test_a_data_folder_gives_no_file_elsewhere(url, tmp_path):
    put(f"{url}/own.tsv", "x")
    folder = data_folder(url)
    with pytest.raises(StoreError, match="which is not inside"):
        add_from_data_url(folder, "../own.tsv")
