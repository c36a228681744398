"""`mmdbench doctor` without a model: it tells the installation, and no secret."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from mmdbench import __version__
from mmdbench.benches import open_bench
from mmdbench.cli import app
from mmdbench.library.installation import inspect_installation


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LMUData", str(tmp_path / "data"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def doctor(*words, code=0):
    done = CliRunner().invoke(app, ["doctor", *words])
    assert done.exit_code == code, done.output
    return done.output


def program(tmp_path, name, text):
    (tmp_path / "bin").mkdir(exist_ok=True)
    path = tmp_path / "bin" / name
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)


def test_keys_are_told_and_never_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-1234567890")
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    for output in (doctor(), doctor("--json")):
        assert "secret" not in output
        assert "sk-" not in output
    keys = json.loads(doctor("--json"))["keys"]
    assert (keys["OPENAI_API_KEY"], keys["MISTRAL_API_KEY"]) == (True, False)


def test_versions_extras_and_caches_are_told():
    found = json.loads(doctor("--json"))
    assert found["versions"]["mmdbench"] == __version__
    assert {"api", "hf", "clear", "fast"} <= set(found["extras"])
    assert not {"test", "test-torch", "docs"} & set(found["extras"])
    assert "remote" in [cache["name"] for cache in found["caches"]]
    assert f"mmdbench {__version__}" in doctor()


def test_an_extra_lacks_what_is_not_installed(monkeypatch):
    wanted = [
        "numpy>=1; extra == 'ours'",
        "no-such-package>=2 ; extra == 'ours'",
        "pandas",
        "mmdbench[x]; extra == 'y'",
    ]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: wanted)
    assert inspect_installation().extras == {"ours": ("no-such-package>=2",)}


def test_benchmark_files_are_found_and_not_read(tmp_path):
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "MMStar.tsv"
    path.write_text("damaged")
    found = json.loads(doctor("--json"))
    assert found["data"]["MMStar"] == str(path)
    assert "mini" in found["data"]
    assert len(open_bench("mini").questions) > 0
    assert found["data_folders"][0] == str(tmp_path / "data")


def test_gpus_are_those_of_the_driver(tmp_path):
    assert "none that nvidia-smi shows" in doctor()
    program(tmp_path, "nvidia-smi", "print('NVIDIA H200, 143771 MiB, 570.1')")
    assert json.loads(doctor("--json"))["gpus"] == ["NVIDIA H200, 143771 MiB, 570.1"]
    program(tmp_path, "nvidia-smi", "print('Failed to talk to the driver'); raise SystemExit(9)")
    assert json.loads(doctor("--json"))["gpus"] == []


def test_a_torch_that_breaks_is_a_problem_and_a_working_one_is_told(tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    module = tmp_path / "site" / "torch.py"
    module.write_text("raise OSError('libcudart.so.12: cannot open shared object file')")
    said = doctor(code=4)
    assert "PROBLEM  torch is installed and cannot be imported: OSError: libcudart.so.12" in said
    assert json.loads(doctor("--json", code=4))["torch"] == {}
    module.write_text(
        "class cuda:\n    is_available = lambda: True\n    device_count = lambda: 1\n"
        "    get_device_name = lambda n: 'H200'\n__version__ = '2.13.0'\nclass version:\n    cuda = '13.0'\n"
    )
    assert "torch  2.13.0, CUDA 13.0: H200" in doctor()


def test_cards_that_cannot_be_read_and_a_full_cache_are_problems(tmp_path):
    (tmp_path / "config" / "mmdbench").mkdir(parents=True)
    (tmp_path / "config" / "mmdbench" / "models.toml").write_text("[")
    (tmp_path / "cache").write_text("a file")
    said = doctor(code=4)
    assert "PROBLEM  The model cards cannot be read: " in said
    assert "models.toml" in said
    assert "PROBLEM  The cache folder cannot be written to: " in said
