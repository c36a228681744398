"""Settings that a model does not take: read from refusals in many forms, and from its card."""

from __future__ import annotations

import json

import pytest

from faulty_server import gateway_refusal, openai_refusal
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.models.cards import find_card, read_cards, set_options, shipped_cards
from mmdbench.models.error_signs import read_signs
from mmdbench.models.parameters import Parameters, card_parameters, refused_parameter

DETAIL = {
    "detail": [{"type": "extra_forbidden", "loc": ["body", "top_p"], "msg": "Extra inputs are not permitted"}]
}
LITELLM = (
    'litellm.BadRequestError: OpenAIException - {"error": {"message": "Unsupported parameter", '
    '"type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter"}}'
)


@pytest.mark.parametrize(
    ("status", "body", "name"),
    [
        (400, openai_refusal("max_tokens"), "max_tokens"),
        (400, openai_refusal("temperature"), "temperature"),
        (400, openai_refusal("stop"), "stop"),
        (400, gateway_refusal("max_tokens"), "max_tokens"),
        (400, [{"error": gateway_refusal("temperature")}], "temperature"),
        (400, {"message": LITELLM}, "max_tokens"),
        (422, DETAIL, "top_p"),
        (422, {"object": "error", "message": DETAIL, "type": "invalid_request_error", "code": 3051}, "top_p"),
        (400, {"message": "invalid temperature: only 1 is allowed for this model"}, "temperature"),
        (400, {"message": "`temperature` is deprecated for this model."}, "temperature"),
        (400, {"message": "`temperature` may only be set to 1 when thinking is enabled."}, "temperature"),
        (400, {"message": "`temperature` and `top_p` cannot both be specified for this model."}, "top_p"),
        (400, {"message": 'Invalid JSON payload. Unknown name "min_p": Cannot find field.'}, "min_p"),
        (400, {"message": "property 'max_completion_tokens' is unsupported"}, "max_completion_tokens"),
        (400, "azure does not support parameters: ['temperature'], for model=o5", "temperature"),
        (400, {"param": "reasoning.effort", "code": "unsupported_value"}, "reasoning"),
        # what is no refusal of a setting
        (400, {"message": "max_tokens is too large: 9999. This model supports at most 4096."}, ""),
        (400, {"message": "temperature must be between 0 and 1; 3 is not allowed"}, ""),
        (400, {"message": "cannot read the picture"}, ""),
        (400, {"message": "The image format is not supported, stop."}, ""),
        (400, {"message": "This model's maximum context length is 8 tokens", "param": "messages"}, ""),
        (429, openai_refusal("max_tokens"), ""),
        (500, openai_refusal("max_tokens"), ""),
    ],
)  # fmt: skip
def test_a_refused_setting_is_found_in_the_words_of_many_servers(status, body, name):
    assert refused_parameter(status, read_signs(body)) == name


def test_the_token_limit_goes_under_the_other_name_and_then_not_at_all():
    asked = {"temperature": 0, "max_tokens": 2048, "reasoning_effort": "low"}
    known = Parameters(limit=2048)
    assert known.sent(asked) == asked
    known = known.without("max_tokens")
    assert known.sent(asked) == {"temperature": 0, "max_completion_tokens": 2048, "reasoning_effort": "low"}
    known = known.without("max_completion_tokens").without("temperature")
    assert known.sent(asked) == {"reasoning_effort": "low"}
    assert known.record(asked) == {
        "refused": ["max_completion_tokens", "max_tokens", "temperature"],
        "sent": {"reasoning_effort": "low"},
    }
    assert not known.may_learn("temperature")
    assert not known.may_learn("reasoning_effort")  # a choice of what is measured


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        (["sampling=none"], {"max_tokens": 2048}),
        (["max_tokens_field=max_completion_tokens"], {"temperature": 0, "max_completion_tokens": 2048}),
        (["max_tokens_field=none"], {"temperature": 0}),
        (["reasoning=true"], {"max_completion_tokens": 2048}),
        (["reasoning=true", "generation.max_completion_tokens=9", "generation.reasoning_effort=none"],
         {"max_completion_tokens": 9, "reasoning_effort": "none"}),
        (["generation.max_completion_tokens=9"], {"temperature": 0, "max_completion_tokens": 9}),
        (["generation.temperature=none"], {"max_tokens": 2048}),
        (["temperature=none", "max_tokens="], {}),
        (["generation.chat_template_kwargs.enable_thinking=false", "generation.chat_template_kwargs.x=1"],
         {"temperature": 0, "max_tokens": 2048, "chat_template_kwargs": {"enable_thinking": False, "x": 1}}),
        (["generation.reasoning.effort=none", "generation.reasoning.effort=", "temperature=none"],
         {"max_tokens": 2048, "reasoning": {}}),
        (["generation={max_completion_tokens=4096}"], {"max_completion_tokens": 4096}),
    ],
)  # fmt: skip
def test_settings_take_a_field_away_and_reach_into_tables(settings, sent):
    card = set_options(find_card("openai:m"), settings)
    assert card.generation == sent
    assert card_parameters(card.options, card.generation, card.name).sent(sent) == sent


def test_a_card_says_what_its_model_takes_in_a_field_or_an_option(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(
        '[a]\nadapter = "openai"\nsampling = "none"\nmax_tokens_field = "max_completion_tokens"\n'
        "generation = { max_completion_tokens = 9 }\n"
        '[b]\nadapter = "openai"\noptions = { sampling = "none" }\ngeneration = { temperature = 0 }\n'
        '[c]\nadapter = "openai"\noptions = { sampling = "nothing" }\n'
    )
    cards = read_cards(path)
    assert cards["a"].options == {"sampling": "none", "max_tokens_field": "max_completion_tokens"}
    says = {name: (cards[name].options, cards[name].generation, name) for name in cards}
    assert "temperature" in card_parameters(*says["a"]).untaken
    with pytest.raises(UsageError, match=r"'b' takes no temperature.*--set generation.temperature=none"):
        card_parameters(*says["b"])
    with pytest.raises(UnknownNameError, match="sampling 'nothing'"):
        card_parameters(*says["c"])


def test_settings_that_cannot_be_followed_are_refused_in_words():
    card = find_card("openai:m")
    for setting, message in (
        ("generation.temperature.x=1", "temperature is no table"),
        ("model.x=1", "field model is no table"),
        ("generation=3", "generation of the card .* must be a table"),
    ):
        with pytest.raises(UsageError, match=message):
            set_options(card, [setting])


def test_another_model_loses_price_context_and_image_rules_with_a_note():
    card = shipped_cards()["gpt-4.1-mini"]
    for changed in (set_options(card, ["model=other"]), find_card("gpt-4.1-mini:other")):
        assert (changed.price, changed.context, dict(changed.images)) == (None, None, {})
        (note,) = changed.notes
        assert (
            "price, context, image rules, retirement are those of gpt-4.1-mini and do not count for other"
            in note
        )
        assert changed.options == card.options
    same = set_options(card, ["model=gpt-4.1-mini", "temperature=1"])
    assert (same.price, same.images, same.notes) == (card.price, card.images, ())
    own = set_options(
        card, ["price.input=9", "price.output=8", "price.date=2026-01-01", "context=5", "model=other"]
    )
    assert (own.price.input, own.price.cached_input, own.context) == (9, None, 5)
    assert set_options(shipped_cards()["vllm"], ["model=m"]).notes == ()


def test_shipped_cards_are_sent_as_they_are_written():
    for name, card in shipped_cards().items():
        if card.adapter == "openai":
            known = card_parameters(card.options, card.generation, name)
            assert known.sent(card.generation) == card.generation, name
            assert json.dumps(known.record(card.generation)) == "{}"
