"""Cards of a `models.toml` that somebody else wrote: announced, and refused where they could harm."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from faulty_server import FaultyServer
from mmdbench.cli.doctor import doctor
from mmdbench.cli.evaluate import evaluate
from mmdbench.errors import UsageError
from mmdbench.models.cards import find_card, known_cards, shipped_cards
from optional_packages import needs
from verb_calls import call

OWN = '[own]\nadapter = "openai"\nmodel = "m"\nendpoint = "https://lab.example/v1"\nkey_env = "LAB_KEY"\n'
ELSEWHERE = 'adapter = "openai"\nmodel = "m"\nendpoint = "https://evil.example/v1"\n'


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-user-0123456789")
    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)


def write(text):
    Path("models.toml").write_text(text)


def write_own(text):
    path = Path("config/mmdbench/models.toml")
    path.parent.mkdir(parents=True)
    path.write_text(text)


def refused(name, message):
    with pytest.raises(UsageError, match=message) as caught:
        find_card(name)
    assert "--model-card models.toml" in caught.value.hint
    return find_card(name, [Path("models.toml")])  # where it is trusted, it counts


def test_a_card_with_a_new_name_works_and_is_announced(make_tsv):
    write('[dice]\nadapter = "chance"\n' + OWN)
    assert find_card("own").key_env == "LAB_KEY"
    (note,) = find_card("own").notes
    assert note.endswith("models.toml in this folder, is asked at https://lab.example and sends LAB_KEY")
    words = ("--model", "dice", "--bench", make_tsv(2), "--level", "clean", "-o", "run", "--quiet")
    assert "mmdbench: the card dice is from models.toml in this folder." in call(evaluate, *words)
    assert find_card("dice", [Path("models.toml")]).notes == ()


@needs("openai")
@pytest.mark.parametrize("verb", ["eval", "score"])
def test_a_judge_of_the_folder_is_announced(make_tsv, verb):
    from mmdbench.cli.score import score

    with FaultyServer() as server:
        write(f'[lab]\nadapter = "openai"\nmodel = "j"\nendpoint = "{server.url}"\n')
        words = ("--bench", make_tsv(2), "--level", "clean", "-o", "run", "--quiet")
        first = call(evaluate, "--model", "chance", *words, *(["--judge", "lab"] if verb == "eval" else []))
        shown = call(score, "run", "--judge", "lab") if verb == "score" else first
    assert shown.count("the card lab is from models.toml in this folder, is asked at http://127.0.0.1") == 1


@pytest.mark.parametrize("name", ["gpt-4.1-mini", "baseline", "openai", "openai:gpt-9"])
def test_a_shipped_name_needs_model_card(name):
    write(f'["{name}"]\n{ELSEWHERE}')
    card = refused(name, "would be asked instead of one that comes with mmdbench")
    assert card.endpoint == "https://evil.example/v1"
    assert find_card("gpt-4o").endpoint == "https://api.openai.com/v1"
    listed = known_cards()
    assert {name: listed[name] for name in shipped_cards()} == shipped_cards()
    assert name in shipped_cards() or name not in listed


def test_a_card_named_like_a_model_at_an_address_is_never_found_in_its_place():
    write(f'["openai:m@https://lab.example/v1"]\n{ELSEWHERE}')
    refused("openai:m@https://lab.example/v1", "instead of one that comes with mmdbench")
    assert find_card("openai:m@https://lab2.example/v1").endpoint == "https://lab2.example/v1"


def test_a_shipped_card_with_models_of_a_hidden_one_is_refused_too():
    write(f"[openai]\n{ELSEWHERE}")
    refused("openai:gpt-9", "The card 'openai' of models.toml in this folder would be asked")


@pytest.mark.parametrize(
    "field",
    [
        'key_env = "OPENAI_API_KEY"',
        'headers = { x = "$OPENAI_API_KEY" }',
        'headers = { x = "${GEMINI_API_KEY}" }',
        'key_env = "MMDBENCH_API_KEY"',
        'key_env = "HF_TOKEN"',
        'key_env = "AZURE_OPENAI_API_KEY"',
        'base = "gpt-4.1"',
    ],
)
def test_a_known_key_goes_to_no_other_server(field):
    head = "" if "base" in field else 'adapter = "openai"\n'
    write(f'[new]\n{head}model = "m"\nendpoint = "https://evil.example/v1"\n{field}\n')
    refused("new", r"sends [A-Z_]+ to evil\.example")


@pytest.mark.parametrize(
    "place", ["http://api.openai.com/v1", "https://api.openai.com:444/v1", "$NOT_SET/v1", ""]
)
def test_its_own_server_is_that_scheme_host_and_port(place):
    write(f'[new]\nadapter = "openai"\nmodel = "m"\nendpoint = "{place}"\nkey_env = "OPENAI_API_KEY"\n')
    refused("new", "sends OPENAI_API_KEY to")


def test_a_shipped_key_goes_to_its_own_server_from_a_folder(monkeypatch):
    write(
        '[new]\nbase = "gpt-4.1"\ngeneration.max_tokens = 9\n'
        '[cloud]\nadapter = "openai"\nmodel = "m"\nkey_env = "AZURE_OPENAI_API_KEY"\n'
        'endpoint = "$AZURE_OPENAI_ENDPOINT/openai/v1"\n'
    )
    assert find_card("new").key_env == "OPENAI_API_KEY"
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com")
    assert find_card("cloud").endpoint == "https://mine.openai.azure.com/openai/v1"


def test_a_key_of_the_users_own_cards_stays_at_their_servers():
    write_own(OWN)
    write(f'[new]\n{ELSEWHERE}key_env = "LAB_KEY"\n')
    refused("new", r"sends LAB_KEY to evil\.example")
    write(OWN.replace("[own]", "[new]"))
    assert find_card("new").key_env == "LAB_KEY"


def test_a_card_without_an_address_takes_a_known_key_to_none(monkeypatch):
    write('[form]\nadapter = "openai"\nkey_env = "OPENAI_API_KEY"\n')
    refused("form:m@https://evil.example/v1", "sends OPENAI_API_KEY to evil.example")
    write(OWN)  # the address is the user's own, and so is the key for it
    assert find_card("own:m@https://mine.example/v1").key_env == "MMDBENCH_API_KEY"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ('adapter = "mine.py"', "runs the code in mine.py"),
        (
            'adapter = "litellm"\nmodel = "openai/m"\ngeneration = { api_base = "https://e.example" }',
            "litellm",
        ),
        ('adapter = "vlmeval"\nmodel = "GPT4o"', "gives settings to the adapter vlmeval"),
        ('adapter = "vllm_offline"\noptions.engine = { trust_remote_code = true }', "vllm_offline"),
        ('adapter = "openai"\noptions = { instruction_file = "/etc/passwd" }', "content of a file"),
        ('adapter = "openai"\nendpoint = "https://e.example/$HOME/v1"', "puts the value of HOME into"),
        ('adapter = "openai"\nendpoint = "https://${USER}.e.example/v1"', "puts the value of USER into"),
    ],
)
def test_code_and_what_reads_this_machine_need_model_card(fields, message):
    write(f"[new]\n{fields}\n")
    refused("new", re.escape(message) if "." in message else message)


def test_code_of_the_folder_does_not_run(make_tsv):
    Path("mine.py").write_text("open('ran', 'w').close()\n")
    write('[mine]\nadapter = "mine.py"\n')
    words = ("--model", "mine", "--bench", make_tsv(2), "-o", "run", "--quiet")
    assert "runs the code in mine.py" in call(evaluate, *words, code=2)
    assert "runs the code in mine.py" in call(doctor, "--model", "mine", code=2)
    assert not Path("ran").exists()
    assert not Path("run").exists()
    call(evaluate, *words, "--model-card", "models.toml", code=4)
    assert Path("ran").exists()


def test_the_users_own_file_may_replace_and_is_trusted(tmp_path, monkeypatch):
    write_own('[baseline]\nadapter = "mine.py"\n')
    assert find_card("baseline").adapter == "mine.py"
    assert find_card("baseline").notes == ()
    monkeypatch.chdir(tmp_path / "config" / "mmdbench")  # the same file, found twice
    assert find_card("baseline").notes == ()
