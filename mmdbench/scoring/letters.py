"""Single letters in a reply: in other dress, as words, and at the reply's beginning."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

__all__ = ["begins_with_option", "undressed", "word_after"]

# Letters that are words of English, French, Italian, Portuguese, Spanish or a Slavic language.
_WORDS = "AEIOUY"
# What follows an option's letter rather than an article or a pronoun: "A is right", "A because of …".
_NO_NOUN = (
    r"(?:is|was|are|and|or|as|because|since|seems?|looks?|matches|fits|has|shows?|best|correct|correctly|for|with"
    r"|from|in|the|it|which|due|but|if|not|appears?|would|can|could|does|describes?)\b"
)
_WORD = re.compile(rf"\w[^\S\n]+(?!{_NO_NOUN})([a-zà-ÿ][\w'’-]*)")
_NAMED = re.compile(r"\b(?:option|answer|choice|letter|is|as|or|and) \Z", re.IGNORECASE)
# What ends a statement of the answer, or gives its reason.
_STOPS = re.compile(r"\s*(?:[.;:!)*\"'\]}<]|\Z)|[^\S\n]*\n")
_SETTLED = re.compile(
    r"\s*(?:[.,;:!)*\"'`\]}<$|–—-]|\Z)|[^\S\n]*\n"
    r"|\s+(?:because|since|is (?:the )?(?:correct|right|best|answer))\b",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"[\W_]*(?:(?:the|my)\s+)?(?:(?:correct|final|best|right|most likely)\s+)?(?:answer|option|choice)?"
    r"(?:\s+is)?[\W_]*(?:option\s+)?[\W_]*",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"(?:an?|the|it is|it's|this is)\s+", re.IGNORECASE)
_SPECIAL = re.compile(r"</?s>|<\|[^<>|\s]{1,40}\|>|<(?:eos|end_of_turn)>|\[/?INST\]")
# Full-width, circled and mathematical forms; other characters may be part of an option's text.
_STYLED = re.compile("[\uff01-\uff5e\u3000\u24b6-\u24e9\U0001d400-\U0001d7ff]")
_FENCE = "```"
_TEX = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\s*\{\s*([A-Za-z])\s*\}")
_TAGGED = re.compile(r"<(\w{1,20})>\s*([A-Za-z])[.)]?\s*</\1>")
_QUOTED = re.compile(r"(?<!\w)([\"'`$“”‘’「『])\s*([A-Z])\s*[\"'`$“”‘’」』](?!\w)")
_BRACKETED = re.compile(r"(?<!\w)([(\[{])([a-z])[)\]}](?!\w)")
_ALONE = re.compile(r"[\W_]*(?:(?:option|answer|choice)[\W_]*)?([A-Za-z])[\W_]*", re.IGNORECASE)


def undressed(answer: str) -> str:
    """An answer in which single letters in other dress are plain capitals.

    The dress is quotes or brackets, TeX, tags, full-width forms, special tokens, a lower-case letter that is
    all there is, or JSON with one letter.

    >>> undressed('{"answer": "b"}'), undressed("The option is $B$"), undressed("B</s>")
    ('B', 'The option is  B ', 'B')
    """
    text = _STYLED.sub(
        lambda found: unicodedata.normalize("NFKC", found[0]), _SPECIAL.sub(" ", answer)
    ).strip()
    if text.startswith(_FENCE) and text.endswith(_FENCE):
        text = text.strip("`").removeprefix("json").strip()
    text = _letter_in_json(text) or text
    text = _TEX.sub(r" \1 ", text)
    text = _TAGGED.sub(r" \2 ", text)
    text = _QUOTED.sub(r" \2 ", text)
    text = _BRACKETED.sub(lambda found: f" {found[2].upper()} ", text)
    alone = _ALONE.fullmatch(text)
    return alone[1].upper() if alone else text


def word_after(text: str, label: str, option: str = "") -> str:
    """The word that makes a reply's only letter a word itself, as in "A brown dog"; empty if there is none.

    Args:
        text: The text that the letter was read from.
        label: The letter.
        option: The option's text: a letter before it is an answer, as in "A brown".

    Returns:
        The word that follows the letter's first place, if a word follows every place of it.
    """
    if label not in _WORDS or text == label:
        return ""
    places = re.finditer(rf"(?<![\w'’-]){label}(?![\w'’-])", text)
    words = [_word_at(text, place.start(), option) for place in places]
    return words[0] if words and all(words) else ""


def begins_with_option(text: str, label: str, option: str) -> bool:
    """True if a text begins with its answer: an option's letter or text, or "the answer is" and either.

    Args:
        text: The text.
        label: The option's label.
        option: The option's text.

    Returns:
        True for "B. Because …" and "The answer is (B) dog", False for "So option B is possible".
    """
    lead = _LEAD.match(text)
    rest = text[lead.end() :] if lead else text
    if re.match(rf"{label}(?!\w)", rest):
        after = rest[len(label) :]
        return _SETTLED.match(after) is not None or (bool(option) and _follows(after, option))
    if article := _ARTICLE.match(rest):
        rest = rest[article.end() :]
    return bool(option) and _follows(rest, option) and _STOPS.match(rest.lstrip()[len(option) :]) is not None


def _follows(text: str, option: str) -> bool:
    return re.match(rf"\s*{re.escape(option)}(?!\w)", text, re.IGNORECASE) is not None


def _word_at(text: str, place: int, option: str) -> str:
    found = _WORD.match(text[place : place + 60])
    named = _NAMED.search(text[max(0, place - 12) : place])
    if found is None or named or (option and _follows(text[place + 1 :], option)):
        return ""
    return found[1]


def _letter_in_json(text: str) -> str:
    try:
        found = _letters(json.loads(text))
    except (ValueError, RecursionError):
        return ""
    return found[0].upper() if len(found) == 1 else ""


def _letters(value: Any) -> list[str]:
    if isinstance(value, str):
        alone = _ALONE.fullmatch(value)
        return [alone[1]] if alone else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [letter for item in inner for letter in _letters(item)]
