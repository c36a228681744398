"""Every rule of option inference, each in a case that another rule would decide differently."""

from __future__ import annotations

import pytest

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.scoring import get_protocol, infer_option, infer_option_staged

PETS = {"A": "cat", "B": "dog", "C": "bird", "D": "fish"}
CLEAR, VLM = "clear/1", "vlmevalkit/1"
SPACES = " \t\n\u00a0\u3000\u2028\x1c"


def both(text, options=PETS):
    return tuple(infer_option_staged(text, options, protocol=name) for name in (CLEAR, VLM))


@pytest.mark.parametrize("mark", [*".()[],:;!*#{}", *SPACES])
def test_separators_free_a_label(mark):
    assert both(f"x{mark}B{mark}y") == (("B", "letter"),) * 2


def test_no_other_character_does():
    others = {chr(code) for code in range(33, 127)} - set(".()[],:;!*#{}")
    for mark in sorted(others | set("\u3001\uff08\uff09\u3002\uff0e\u200b")):
        assert both(f"x{mark}B{mark}y") == ((None, "no_option"),) * 2, mark
        assert both(f"{mark}B") == ((None, "no_option"),) * 2, mark


@pytest.mark.parametrize("phrase", [
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
])  # fmt: skip
def test_refusals_precede_even_a_right_letter(phrase):
    assert both(f"{phrase} B") == (("Z", "refusal"),) * 2
    assert both(f"B {phrase}")[0] == ("Z", "refusal")
    assert both(phrase.lower() + " B")[0] == ("B", "letter")
    if "'" in phrase:
        assert both(phrase.replace("'", "\u2019") + " B")[0] == ("B", "letter")
    # One character short is another sentence.
    assert both(phrase[1:] + " B")[0] == ("B", "letter")
    assert both(phrase[:-1] + " B")[0] == ("B", "letter")


def test_a_failed_call_skips_every_letter_rule_but_not_the_texts():
    marker = "Failed to obtain answer via API"
    assert both(f"{marker}: B", {"A": "cat", "B": "dog" * 20}) == ((None, "no_option"),) * 2
    assert both(f"{marker}. Z", {"A": "cat" * 20}) == ((None, "no_option"),) * 2
    assert both(f"Cannot determine the answer {marker}", {"A": "cat" * 20}) == ((None, "no_option"),) * 2
    assert both(f"{marker} answer is A", {"A": "cat" * 20}) == ((None, "no_option"),) * 2
    assert both(f"{marker} dog", {"A": "cat" * 20, "B": "dog"}) == (("B", "option_text"),) * 2
    for other in (marker.lower(), marker[1:], marker[:-1]):
        assert both(other + " B") == (("B", "letter"),) * 2


def test_labels_are_case_sensitive_whole_tokens():
    assert both("b")[0] == (None, "no_option")
    assert both("BB")[0] == (None, "no_option")
    assert both("E")[0] == (None, "no_option")
    assert both("\uff22")[0] == (None, "no_option")


def test_repeats_of_one_label_count_once_and_two_labels_cancel_out():
    assert both("B B B") == (("B", "letter"),) * 2
    assert both("A B")[0] == (None, "no_option")
    assert both("A B dog")[0] == ("B", "option_text")


@pytest.mark.parametrize(("after", "found"), [(0, True), (1, True), (3, True), (4, False), (9, False)])
def test_the_letter_window_is_the_last_four_tokens(after, found):
    text = "well well B" + " x" * after
    assert infer_option_staged(text, PETS, protocol=CLEAR) == ("B", "letter")
    assert (infer_option(text, PETS, protocol=VLM) == "B") is found


def test_the_window_goes_by_the_first_occurrence():
    assert both("B one two three B")[1][0] is None
    assert both("B one two B")[1] == ("B", "letter")
    assert both("B x")[1] == ("B", "letter")


def test_z_is_a_refusal_anywhere_if_no_label_is_there():
    assert both("Z " + "x " * 30) == (("Z", "letter_z"),) * 2
    assert both("Z B") == (("B", "letter"),) * 2
    assert both("Z A B")[0] == (None, "no_option")
    assert both("z")[0] == (None, "no_option")
    # A label outside the window still is a label: Z decides nothing then.
    assert both("B Z x x x x", {"A": "cat", "B": "dog" * 9})[1] == (None, "no_option")
    # Before "answer is": the letter stage is over.
    assert both("Z the answer is a dog", {"A": "cat", "B": "dog"}) == (("Z", "letter_z"),) * 2


def test_an_option_labelled_z_follows_the_window():
    options = {"A": "cat", "Z": "zebra" * 9}
    assert both("Z", options) == (("Z", "letter"),) * 2
    assert both("Z 1 2 3 4", options) == (("Z", "letter"), (None, "no_option"))


@pytest.mark.parametrize(("text", "label"), [
    ("the answer is a dog", "A"),
    ("ANSWER IS b", "B"),
    ("answer \t\n is\u3000***C because of things here", "C"),
    ("answer is definitely B or A, who knows", "D"),
    ("myanswer is Dxyz or something else A B", "D"),
    ("an\u017fwer \u0130s A or B, one of them", "A"),
    ("it is A or B. the answer is B I think so", "B"),
    ("answer is C. No, the answer is D", "C"),
])  # fmt: skip
def test_answer_is(text, label):
    options = dict.fromkeys("ABCD", "q" * 40)
    assert infer_option_staged(text, options, protocol=VLM) == (label, "answer_is")
    assert infer_option_staged(text, options, protocol=CLEAR)[1] != "answer_is"


@pytest.mark.parametrize("text", [
    "A B answer is: B", "A B answer is not", "A B answer isB",
    "A B answeris B", "A B answer is * B", "A B answer is (B",
    "A B answer is 'B", "A B answers is B", "A B answer was B", "A B answer is E", "A B answer is",
])  # fmt: skip
def test_answer_is_not(text):
    options = dict.fromkeys("ABCDE", "q" * 40)
    assert infer_option_staged(text, options, protocol=VLM) == (None, "no_option")


def test_a_statement_that_names_no_option_ends_the_search():
    options = {"A": "q" * 40, "B": "r" * 40}
    assert infer_option_staged("A B answer is D, answer is B", options, protocol=VLM) == (None, "no_option")
    assert infer_option_staged("answer is E, so answer is B, A", options, protocol=VLM) == ("B", "answer_is")


def test_labels_after_d_are_read_as_tokens_only():
    options = dict.fromkeys("ABCDEF", "q" * 40)
    assert both("F", options) == (("F", "letter"),) * 2
    assert both("F A so the answer is F", options) == ((None, "no_option"),) * 2


def test_option_texts_are_found_in_lower_case_and_only_alone():
    assert both("DOG") == (("B", "option_text"),) * 2
    assert both("a dog", {"A": "Cat", "B": "DOG", "C": "xxx"}) == (("B", "option_text"),) * 2
    assert both("cat dog") == ((None, "several_options"),) * 2
    assert both("hotdogs") == (("B", "option_text"),) * 2
    assert both("xx", {"A": "", "B": "dog"}) == (("A", "option_text"),) * 2
    assert both("", {"A": "", "B": "dog"}) == (("A", "option_text"),) * 2
    assert both("anything", {}) == ((None, "no_option"), (None, "too_long"))
    assert both("", {}) == ((None, "no_option"),) * 2
    # Lowered, and no more: folding would write the sharp s as two.
    assert both("die stra\u00dfe", {"A": "Stra\u00dfe", "B": "Gasse"}) == (("A", "option_text"),) * 2
    assert both("die strasse", {"A": "Stra\u00dfe", "B": "Gasse"}) == ((None, "no_option"),) * 2


def test_letters_precede_texts():
    assert both("B, not the cat") == (("B", "letter"),) * 2


@pytest.mark.parametrize(("length", "stage"), [(11, "option_text"), (12, "option_text"), (13, "too_long")])
def test_long_replies_are_not_searched_for_texts(length, stage):
    text = "dog".ljust(length, "x")
    options = {"A": "cat", "B": "dog"}
    assert infer_option_staged(text, options, protocol=VLM)[1] == stage
    assert infer_option_staged(text, options, protocol=CLEAR) == ("B", "option_text")


def test_the_reply_is_measured_in_lower_case_and_options_are_not():
    # A capital dotted I is one character that lowers to two: the reply is measured lowered, options are not.
    assert len("\u0130".lower()) == 2
    assert infer_option_staged("\u0130\u0130\u0130", {"A": "\u0130"}, protocol=VLM)[1] == "too_long"
    assert infer_option_staged("\u0130", {"A": "\u0130"}, protocol=VLM) == ("A", "option_text")
    assert infer_option_staged("\u0130\u0130", {"A": "\u0130", "B": "z"}, protocol=VLM)[1] == "option_text"
    assert infer_option_staged("\u0130\u0130x", {"A": "\u0130", "B": "z"}, protocol=VLM)[1] == "too_long"


def test_default_protocol_and_errors():
    assert infer_option("B one two three four five", PETS) == "B"
    assert infer_option("B", PETS, protocol=get_protocol(VLM)) == "B"
    with pytest.raises(UnknownNameError, match=r"Unknown scoring protocol 'clear'\. Did you mean 'clear/1'"):
        infer_option("B", PETS, protocol="clear")
    for label in ("AB", "a", "", "1", "[", "@"):
        with pytest.raises(UsageError) as caught:
            infer_option("B", {label: "x"})
        wanted = f"An option label must be one of A..Z, got {label!r}."
        assert str(caught.value) == wanted
    assert infer_option("Z A", {"A": "x", "Z": "y"}) is None


def test_environment_does_not_matter(monkeypatch):
    monkeypatch.setenv("VERBOSE", "1")
    assert infer_option("this is A of all the things", PETS) == "A"
