"""Keys in wrong places: in an address, a setting, a card, a name; refused, and shown nowhere."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.cli._shared.errors import guarded, print_unexpected
from mmdbench.errors import UsageError
from mmdbench.models.cards import find_card, set_options
from mmdbench.system.secrets import hide_secrets
from pictures import write_many

SHORT = "hunter2pw"  # nothing in it says that it is a key
HEX = "abcdef0123456789abcdef"
TOKEN = "hf_abcdefghijklmnopqrstuv0123"
PLACED = 'adapter = "openai"\nmodel = "m"\nendpoint = "https://h.example/v1"\n'
PASTED = "sk-pasted-0123456789abcdef"
IN_WORDS = {
    "a password": f"--model openai:m@https://user:{SHORT}@h.example/v1",
    "a user": f"--model openai:m@https://{SHORT}@h.example/v1",
    "in capitals": f"--model openai:m@HTTPS://user:{SHORT}@h.example/v1",
    "no scheme": f"--model openai:m@user:{SHORT}@h.example/v1",
    "no card": f"--model nope:m@https://user:{SHORT}@h.example/v1",
    "an address alone": f"--model https://user:{SHORT}@h.example/v1",
    "a query": f"--model openai:m@https://h.example/v1?api_key={SHORT}",
    "a fragment": f"--model openai:m@https://h.example/v1#api_key={SHORT}",
    "a part of the path": f"--model 'openai:m@https://h.example/v1;token={SHORT}'",
    "after a semicolon": f"--model 'openai:m@https://h.example/v1?v=1;key={SHORT}'",
    "in percents": f"--model openai:m@https://h.example/v1?%61pi_key={SHORT}",
    "a port": f"--model openai:m@https://h.example:{SHORT}/v1",
    "no address": f"--model openai:m@https://[user:{SHORT}@h.example/v1",
    "a name": f"--model {PASTED}",
    "a model": f"--model openai:{PASTED}",
    "endpoint": f"--model vllm --set endpoint=https://user:{SHORT}@h.example/v1",
    "endpoint without scheme": f"--model vllm --set endpoint=user:{SHORT}@h.example/v1",
    "served_by": f"--model vllm --set served_by=https://h.example/v1?token={SHORT}",
    "a label": f"--model vllm --set served_by=user:{SHORT}@h.example",
    "key_env": f"--model vllm --set key_env={PASTED}",
    "a long key_env": f"--model vllm --set key_env={HEX}",
    "a short key_env": f"--model openai:m --set key_env={SHORT}",
    "a part of key_env": f"--model vllm --set key_env.x={SHORT}",
    "a list": f'--model vllm --set key_env=["{SHORT}"]',
    "api_key": f"--model vllm --set api_key={SHORT}",
    "apiKey": f"--model vllm --set generation.apiKey={SHORT}",
    "extra_body": f"--model vllm --set generation.extra_body.auth_token={SHORT}",
    "extra_headers": f"--model vllm --set generation.extra_headers.x-lab={SHORT}",
    "a header": f"--model vllm --set headers.x-lab={SHORT}",
    "a header's variable": f"--model vllm --set headers.x-lab=\\${TOKEN}",
    "no table": f"--model vllm --set headers={SHORT}",
    "no equals sign": f"--model vllm --set {SHORT}",
    "another field": f"--model vllm --set system={PASTED}",
    "the name of an option": f"--model vllm --set {PASTED}=1",
    "an option's address": f"--model vllm --set prompt_repository=https://user:{SHORT}@h.example/x",
    "a server's command": f"--model vllm --serve 'vllm serve m --api-key {SHORT}'",
    "a judge": f"--model chance --judge openai:j@https://user:{SHORT}@h.example/v1",
    "a judge's query": f"--model chance --judge openai:j@https://h.example/v1?key={SHORT}",
    "a judge's name": f"--model chance --judge user:{SHORT}@h.example",
}
IN_A_CARD = {
    "key_env": f'key_env = "{PASTED}"',
    "a long key_env": f'key_env = "{HEX}"',
    "a header": f'headers = {{ x-lab = "{SHORT}" }}',
    "extra_body": f'generation.extra_body.api_key = "{SHORT}"',
    "a list": f'generation.tools = [{{ headers = {{ x = "{SHORT}" }} }}]',
    "default_headers": f'options.default_headers = {{ x = "{SHORT}" }}',
    "system": f'options.system = "my key is {PASTED}"',
    "a summary": f'summary = "{PASTED}"',
    "bearer": f'generation.bearer = "{SHORT}"',
    "a proxy": f'options.proxy = "http://user:{SHORT}@h.example:80"',
}


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("OPENAI_API_KEY", "MMDBENCH_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def check_refused(words, text):
    """The command is refused, and no key of the text is in its output or in a file that it made."""
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code in (2, 4), shown.output
    assert "Traceback" not in shown.output
    secrets = [secret for secret in (PASTED, SHORT, HEX, TOKEN) if secret in text]
    assert secrets
    made = [
        path for path in Path().rglob("*") if path.is_file() and path.name not in ("models.toml", "q.tsv")
    ]
    for secret in secrets:
        assert secret not in shown.output
        assert not [path for path in made if secret.encode() in path.read_bytes()]
    assert not Path("run").exists()
    return shown.output


@pytest.mark.parametrize("way", IN_WORDS)
def test_a_key_in_a_command_is_refused_and_not_shown(way):
    write_many(Path("q.tsv"), 2)
    words = shlex.split(IN_WORDS[way])
    check_refused(["eval", *words, "--bench", "q.tsv", "-o", "run", "--quiet"], IN_WORDS[way])
    if "--judge" in words:
        CliRunner().invoke(app, ["eval", "--model", "chance", "--bench", "q.tsv", "-o", "done", "--quiet"])
        for verb in ("report", "score"):
            check_refused([verb, "done", *words[2:]], IN_WORDS[way])
    elif "--model vllm --serve" not in IN_WORDS[way]:
        check_refused(["doctor", *words], IN_WORDS[way])


@pytest.mark.parametrize("way", IN_A_CARD)
def test_a_key_in_a_card_is_refused_and_not_shown(way):
    write_many(Path("q.tsv"), 2)
    Path("models.toml").write_text(f"[mine]\n{PLACED}{IN_A_CARD[way]}\n")
    for words in (["--model", "mine"], ["--model", "chance", "--judge", "mine"]):
        check_refused(["eval", *words, "--bench", "q.tsv", "-o", "run"], IN_A_CARD[way])


@pytest.mark.parametrize("place", ["https://user:{key}@h.example", "https://h.example/{key}", "user:{key}@h"])
def test_a_key_in_a_variable_of_an_address_is_refused(monkeypatch, place):
    monkeypatch.setenv("MY_HOST", place.replace("{key}", PASTED))
    monkeypatch.setenv("LAB_KEY", PASTED)
    Path("given.toml").write_text(f"[mine]\n{PLACED.replace('https://h.example', '$MY_HOST')}")
    for words in (["--model", "mine"], ["--model", "chance", "--judge", "mine"]):
        more = ["--model-card", "given.toml", "--bench", "mini", "-o", "run"]
        shown = CliRunner().invoke(app, ["eval", *words, *more])
        assert (shown.exit_code, PASTED in shown.output, Path("run").exists()) == (2, False, False), (
            shown.output
        )


RAISES = """
from mmdbench.records import Outcome

class Model:
    batch_size = 1
    def fingerprint(self):
        return {"adapter": "raises"}
    def generate(self, requests):
        import os
        raise RuntimeError(f"wrong key {os.environ['LAB_KEY']} for https://me:hunter2pw@h.example/v1")

class AsyncModel(Model):
    concurrency = 1
    async def agenerate(self, request):
        self.generate([request])

def load(card):
    if card.options.get("at") == "load":
        Model().generate([])
    return AsyncModel() if card.options.get("at") == "asynchronous" else Model()
"""


@pytest.mark.parametrize("at", ["load", "generate", "asynchronous", "worker"])
def test_an_error_of_foreign_code_is_stored_and_shown_without_keys(monkeypatch, at):
    monkeypatch.setenv("LAB_KEY", PASTED)
    write_many(Path("q.tsv"), 3)
    Path("raises.py").write_text(RAISES)
    Path("given.toml").write_text(f'[mine]\nadapter = "raises.py"\noptions = {{ at = "{at}" }}\n')
    words = ["eval", "--model", "mine", "--model-card", "given.toml", "--bench", "q.tsv", "-o", "run"]
    words += ["--level", "clean", "--no-canary", *["--processes", "1"] * (at == "worker")]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 4, shown.output
    written = "".join(path.read_text() for path in Path("run").rglob("*") if path.is_file())
    assert "wrong key [hidden] for https://[hidden]@h.example/v1" in shown.output + written
    assert not [secret for secret in (PASTED, SHORT) if secret in shown.output + written]


def test_a_variable_with_a_key_is_read_into_no_other_setting():
    for setting in ("options.weights=$LAB_KEY", "system=${HF_TOKEN}"):
        with pytest.raises(UsageError, match="would read one into another setting"):
            set_options(find_card("vllm"), [setting])


@pytest.mark.parametrize("address", ["https://h.example/$LAB_KEY/v1", "https://${LAB_TOKEN}.h.example/v1"])
def test_an_address_takes_no_variable_that_is_named_like_a_key(address):
    Path("given.toml").write_text(f"[mine]\n{PLACED.replace('https://h.example/v1', address)}")
    with pytest.raises(UsageError, match="must hold no user name, password or key"):
        find_card("mine", [Path("given.toml")])


def test_names_of_variables_are_no_keys(monkeypatch):
    for name in ("K", "MY_KEY", "GOOGLE_GENERATIVE_AI_API_KEY", "key_of_the_lab"):
        assert set_options(find_card("vllm"), [f"key_env={name}", f"headers.x=${name}"]).key_env == name
    monkeypatch.setenv("AVERYLONGNAMEOFAVARIABLE", "x")
    assert set_options(find_card("vllm"), ["key_env=AVERYLONGNAMEOFAVARIABLE"])


def test_a_variable_with_an_address_may_hold_a_password_that_no_error_shows(monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://user:{SHORT}@127.0.0.1:9")
    assert hide_secrets(f"no way to 127.0.0.1:9 as {SHORT}") == "no way to 127.0.0.1:9 as [hidden]"


def test_an_unexpected_error_shows_no_key(monkeypatch, capsys):
    monkeypatch.setenv("LAB_KEY", PASTED)
    print_unexpected(RuntimeError(f"{PASTED} at https://user:{SHORT}@h.example/v1?token={HEX}"))
    shown = capsys.readouterr().err
    assert "https://[hidden]@h.example/v1?token=[hidden]" in shown
    assert not [secret for secret in (PASTED, SHORT, HEX) if secret in shown]


def test_an_error_of_a_foreign_address_shows_no_password():
    @guarded
    def verb():
        raise UsageError(f"no https://user:{SHORT}@h.example/v1?sig={HEX}")

    program = typer.Typer()
    program.command()(verb)
    shown = CliRunner().invoke(program, [])
    assert shown.output == "mmdbench: no https://[hidden]@h.example/v1?sig=[hidden]\n"
