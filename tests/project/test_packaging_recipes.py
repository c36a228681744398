"""The container's Dockerfile and the conda recipe, held against pyproject.toml."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from mmdbench.system.toml import parse_toml

ROOT = Path(__file__).parents[2]
PYPROJECT = parse_toml((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
RECIPE = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text("utf-8"))


def stages():
    """The lines of each target, with those of the target that it is made from."""
    found: dict[str, list[str]] = {}
    for block in re.split(r"(?m)^FROM ", DOCKERFILE)[1:]:
        head, *lines = block.splitlines()
        source, name = head.split(" AS ")
        found[name] = [*found.get(source, [f"FROM {source}"]), *lines]
    return found


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_runs_the_command_as_another_user_than_root(target):
    lines = stages()[target]
    users = [line.partition(" ")[2] for line in lines if line.startswith("USER ")]
    assert users == ["mmdbench"]
    after = lines[lines.index("USER mmdbench") :]
    assert not [line for line in after if line.startswith("RUN ")]
    (entry,) = [json.loads(line.partition(" ")[2]) for line in lines if line.startswith("ENTRYPOINT ")]
    assert entry == list(PROJECT["scripts"])
    assert lines[0] == "FROM python:3.12-slim"


def test_the_image_that_is_built_without_a_target_has_no_torch():
    assert list(stages())[-1] == "cpu"
    torch = {name for name, wants in PROJECT["optional-dependencies"].items() if "torch" in str(wants)}
    assert not torch & set(extras("cpu"))
    assert torch & set(extras("cuda"))


def extras(target):
    (names,) = re.findall(r"pip install .*\[(.+)\]", "\n".join(stages()[target]))
    return names.split(",")


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_extras_of_an_image_exist(target):
    assert set(extras(target)) <= set(PROJECT["optional-dependencies"])


@pytest.mark.slow
def test_the_files_that_are_sent_to_the_build_make_the_whole_wheel(tmp_path):
    """The commands of the first and the last stage, on the files that .dockerignore lets through."""
    context = tmp_path / "context"
    context.mkdir()
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[0] == "!"]
    for name in kept:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, context / name)
    build = command("wheel", tmp_path).replace("pip wheel", "pip wheel --quiet")
    bash(build, context)
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {str(p.relative_to(ROOT)) for p in (ROOT / "mmdbench").rglob("*.py")} <= names
    assert "mmdbench/corruptions_spec.yaml" in names
    assert any(name.endswith("man1/mmdbench.1") for name in names)
    assert bash(command("cpu", tmp_path).replace("pip install", "echo"), context).split()[-1] == (
        f"{wheel}[{','.join(extras('cpu'))}]"
    )


def command(target, folder):
    line = [line for line in stages()[target] if line.startswith("RUN pip")][-1]
    return line.removeprefix("RUN ").replace("/wheels", f"{folder}/wheels")


def bash(text, folder):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-ec", text], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


CONDA_NAMES = {"opencv-python-headless": "py-opencv"}


def test_the_conda_recipe_asks_for_what_the_package_asks_for():
    wanted = [f"python {PROJECT['requires-python']}"]
    for requirement in PROJECT["dependencies"]:
        name, version = re.fullmatch(r"([\w-]+)([^;]+)(?:;.*)?", requirement).groups()
        wanted.append(f"{CONDA_NAMES.get(name, name)} {version}")
    assert RECIPE["requirements"]["run"] == wanted
    (setuptools,) = PYPROJECT["build-system"]["requires"]
    assert setuptools.replace(">", " >", 1) in RECIPE["requirements"]["host"]
    scripts = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert RECIPE["build"]["python"]["entry_points"] == scripts
    for field in ("license", "license_file"):
        assert RECIPE["about"][field] == PROJECT[{"license_file": "license-files"}.get(field, field)]
    assert RECIPE["about"]["summary"] == PROJECT["description"]


def test_the_conda_recipe_renders(monkeypatch):
    rattler_build = pytest.importorskip("rattler_build", reason="needs pip install '.[test-release]'")
    monkeypatch.setenv("MMDBENCH_VERSION", "1.2.3")
    recipe = rattler_build.Stage0Recipe.from_file(ROOT / "recipe" / "recipe.yaml")
    (rendered,) = recipe.render(rattler_build.VariantConfig())
    assert str(rendered.recipe.package.version) == "1.2.3"
