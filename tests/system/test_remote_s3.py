"""The same against a real server that speaks S3, on loopback."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.errors import StoreError
from mmdbench.system.remote import reading_copy, working_copy

s3fs = pytest.importorskip("s3fs")
moto = pytest.importorskip("moto.server")

MINI = Path(__file__).parents[2] / "mmdbench/benches/data/mini.tsv"
SECRET = "not-a-key-but-not-to-be-found-either"

# Threads of the server and of s3fs's event loop close their sockets when they are collected.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def server():
    threaded = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    threaded.start()
    host, port = threaded.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ACCESS_KEY_ID", "tester")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        s3fs.S3FileSystem.clear_instance_cache()
        yield
        s3fs.S3FileSystem.clear_instance_cache()
        threaded.stop()


@pytest.fixture
def bucket(server, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = uuid.uuid4().hex
    s3fs.S3FileSystem().mkdir(name)
    return name


def run(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.output


def test_a_build_in_a_bucket_is_made_resumed_and_verified(bucket, tmp_path):
    files = s3fs.S3FileSystem()
    files.pipe_file(f"{bucket}/in/own.tsv", MINI.read_bytes())
    words = ("build", "--bench", f"s3://{bucket}/in/own.tsv", "--level", "hard", "--corruption", "graffiti")
    words = (*words, "--sample", "2", "--quiet", "-o", f"s3://{bucket}/out")
    assert "files uploaded to s3://" in run(*words)
    files.invalidate_cache()
    assert files.exists(f"{bucket}/out/remote.json")
    marks = {name: info["ETag"] for name, info in files.find(f"{bucket}/out", detail=True).items()}
    assert "uploaded" not in run(*words)
    files.invalidate_cache()
    assert marks == {name: info["ETag"] for name, info in files.find(f"{bucket}/out", detail=True).items()}
    assert "all right" in run("verify", f"s3://{bucket}/out", "--data-dir", f"s3://{bucket}/in", "--quiet")
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    kept += b"".join(files.cat_file(name) for name in files.find(f"{bucket}/out"))
    assert SECRET.encode() not in kept


def test_a_large_file_arrives_whole(bucket):
    """Large files go up in parts, which S3 puts together at once."""
    data = os.urandom(12 << 20)
    with working_copy(f"s3://{bucket}/run") as folder:
        (folder / "big.bin").write_bytes(data)
    with reading_copy(f"s3://{bucket}/run") as folder:
        assert (folder / "big.bin").read_bytes() == data


def test_a_missing_bucket_is_named(bucket):
    with (
        pytest.raises(StoreError, match="There is nothing at s3://"),
        reading_copy(f"s3://{uuid.uuid4().hex}/run"),
    ):
        pass
    with pytest.raises(StoreError, match=r"Cannot write s3://.*Nothing is lost"):
        fill(f"s3://{uuid.uuid4().hex}/run")


def fill(url: str) -> None:
    with working_copy(url) as folder:
        (folder / "a").write_text("1")


def test_without_credentials_the_place_to_look_is_named(bucket, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(StoreError, match=r"no permission.*docs/remote\.md"):
            fill(f"s3://{bucket}/run")
    finally:
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize("key", ["/{elsewhere}/x", "a//x", "a/../../x", "logs/"])
@pytest.mark.parametrize("open_copy", [reading_copy, working_copy])
def test_a_key_that_is_no_name_of_a_file_inside_is_refused(bucket, tmp_path, key, open_copy):
    """S3 takes any text as a key; one that ends with a slash stands for a folder."""
    import boto3

    (tmp_path / "x").write_text("mine")
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for name in ("manifest.json", key.format(elsewhere=str(tmp_path).lstrip("/"))):
        client.put_object(Bucket=bucket, Key=f"run/{name}", Body=b"" if name == "logs/" else b"{}")
    if key == "logs/":
        with open_copy(f"s3://{bucket}/run") as folder:
            assert [path.name for path in folder.iterdir()] == ["manifest.json"]
    else:
        with pytest.raises(StoreError, match="which is not inside"), open_copy(f"s3://{bucket}/run"):
            pass
    assert (tmp_path / "x").read_text() == "mine"
