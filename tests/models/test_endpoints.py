"""Addresses of servers: which are one server, and what of them may be shown."""

from __future__ import annotations

import pytest
from mmdbench.adapters._openai_api.pictures import PictureRules

from mmdbench.errors import UsageError
from mmdbench.models.cards import ModelCard, find_card, set_options, shipped_cards
from mmdbench.models.endpoints import host_label, normal_endpoint, public_address, public_name, server_of
from mmdbench.models.registry import open_model
from mmdbench.results.judging.asked import judge_id

HERE = "http://127.0.0.1:8000/v1"
OTHERS = [
    "https://127.0.0.1:8000/v1",
    "http://127.0.0.1:8001/v1",
    "http://127.0.0.1:8000/other/v1",
    "http://10.0.0.3:8000/v1",
    "http://127.0.0.1:8000/v1?api-version=1",
]


def card_at(endpoint, **options):
    return ModelCard("m", "openai", model="m", endpoint=endpoint, options=options)


@pytest.mark.parametrize("other", OTHERS)
def test_scheme_host_port_and_path_make_a_server(other):
    assert normal_endpoint(other) != normal_endpoint(HERE)
    assert public_address(other) != public_address(HERE)
    assert judge_id(card_at(other)) != judge_id(card_at(HERE))


@pytest.mark.parametrize("other", OTHERS[:4])
def test_two_servers_are_two_models(other):
    assert open_model(card_at(other)).fingerprint() != open_model(card_at(HERE)).fingerprint()


@pytest.mark.parametrize("same", ["http://localhost:8000/v1/", "HTTP://[::1]:8000/v1", f"{HERE}/"])
def test_spellings_of_one_address_are_one_model(same):
    assert open_model(card_at(same)).fingerprint() == open_model(card_at(HERE)).fingerprint()
    assert judge_id(card_at(same)) == judge_id(card_at(HERE))


def test_a_label_makes_two_addresses_one_model():
    first, second = card_at(HERE, served_by="lab"), card_at(OTHERS[3], served_by="lab")
    assert open_model(first).fingerprint() == open_model(second).fingerprint()
    assert open_model(first).fingerprint()["endpoint"] == "lab"
    assert judge_id(first) == judge_id(second) == "m@lab"
    as_here = card_at(OTHERS[3], served_by=HERE)
    assert open_model(as_here).fingerprint() == open_model(card_at(HERE)).fingerprint()
    with pytest.raises(UsageError, match="must be a label or an address"):
        server_of(card_at(HERE, served_by=" "))


def test_the_label_local_gives_the_fingerprint_of_earlier_versions():
    assert open_model(card_at(HERE, served_by="local")).fingerprint() == {
        "adapter": "openai",
        "version": "1",
        "model": "m",
        "endpoint": "local",
        "pictures": PictureRules().as_dict(),
        "detail": "",
        "system": "",
        "image_first": True,
    }
    assert judge_id(card_at(HERE, served_by="local")) == "m@local"


def test_shipped_cards_at_their_own_endpoints_keep_their_fingerprints():
    for card in shipped_cards().values():
        if card.model and card.endpoint.startswith("https://"):
            assert open_model(card).fingerprint()["endpoint"] == card.endpoint
            assert judge_id(card) == f"{card.model}@{card.endpoint.split('/')[2]}"


@pytest.mark.parametrize("private", ["http://gpu7.corp.example:8000/v1", "http://10.1.2.3/v1", HERE])
def test_nothing_of_a_private_address_is_shown(private):
    shown = [public_address(private), host_label(private), public_name(f"openai:q@{private}")]
    host = private.split("/")[2].partition(":")[0]
    assert not [text for text in shown if host in text or "8000" in text]
    assert public_name(f"openai:q@{private}", "lab") == "openai:q@lab"


def test_public_addresses_and_other_names_are_shown():
    assert public_name("openai:q@https://api.openai.com/v1") == "openai:q@https://api.openai.com/v1"
    assert public_name("openai:org/model@v2") == "openai:org/model@v2"
    assert host_label("https://api.openai.com/v2").startswith("api.openai.com-")


def test_an_impossible_port_is_an_error():
    with pytest.raises(UsageError, match="port"):
        normal_endpoint("http://host:99999/v1")


def test_the_option_is_one_of_the_card():
    card = set_options(find_card("vllm:q"), ["served_by=lab"])
    assert open_model(card).fingerprint()["endpoint"] == "lab"
