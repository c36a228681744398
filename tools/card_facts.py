"""Compare prices, contexts and retirements of the shipped model cards with price lists.

    python tools/card_facts.py [--check] [--litellm FILE] [--genai-prices WHEEL]

FILE is a wheel of litellm or its JSON file of prices; without it, the installed litellm is read, and is not
imported. genai-prices is read from the wheel or where it is installed. One line for each difference, and the
`price` line that the card would have; `--check` ends with 1 if there is any.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata, util
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mmdbench.models.cards import ModelCard, shipped_cards
from mmdbench.models.prices import Price, listed_price

PRICES = "model_prices_and_context_window_backup.json"
PREFIXES = {
    "api.openai.com": "",
    "generativelanguage.googleapis.com": "gemini/",
    "api.anthropic.com": "",
    "api.x.ai": "xai/",
    "api.mistral.ai": "mistral/",
    "dashscope-intl.aliyuncs.com": "dashscope/",
    "api.moonshot.ai": "moonshot/",
    "api.z.ai": "zai/",
}
FIELDS = {
    "input": "input_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "output": "output_cost_per_token",
}

Listed = Callable[[str, str], Price | None]


def main() -> int:
    """Print the differences; 1 with `--check` if there are any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--litellm", type=Path)
    parser.add_argument("--genai-prices", type=Path)
    given = parser.parse_args()
    if given.genai_prices:
        sys.path.insert(0, str(given.genai_prices))  # a wheel can be imported from
    source, table = litellm_table(given.litellm)
    lines = list(differences(shipped_cards(), source, table, listed_price))
    print(*lines or [f"The cards agree with {source}."], sep="\n")
    return int(given.check and bool(lines))


def litellm_table(path: Path | None) -> tuple[str, dict[str, Any]]:
    """The name and version of litellm, and its table of models."""
    if path is None:
        found = util.find_spec("litellm")
        if found is None or not found.submodule_search_locations:
            raise SystemExit("litellm is not installed: name its wheel with --litellm.")
        text = (Path(found.submodule_search_locations[0]) / PRICES).read_text("utf-8")
        return f"litellm {metadata.version('litellm')}", json.loads(text)
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return " ".join(path.name.split("-")[:2]), json.loads(wheel.read(f"litellm/{PRICES}"))
    return path.name, json.loads(path.read_text("utf-8"))


def differences(
    cards: Mapping[str, ModelCard], source: str, table: Mapping[str, Any], listed: Listed
) -> Iterator[str]:
    """Lines about the cards with a price that differ from litellm's table, or from genai-prices."""
    for card in cards.values():
        if card.price is None:
            continue
        entry = table.get(PREFIXES[urlsplit(card.endpoint).hostname or ""] + card.model)
        if entry is None:
            yield f"{card.name}: {source} does not know it"
            continue
        for name, ours, theirs in facts(card, entry):
            if theirs is not None and ours != theirs:
                yield f"{card.name}: {name} is {ours}, {source} has {theirs}"
        found = listed(card.model, card.endpoint)
        if found and triple(found) != triple(card.price):
            yield f"{card.name}: the price is {line(card.price)}, genai-prices has {line(found)}"


def facts(card: ModelCard, entry: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Name, the card's value and litellm's (None: not listed) of each fact."""
    entry = {**entry, **(entry.get("tiered_pricing") or [{}])[0]}
    for name, key in FIELDS.items():
        theirs = None if entry.get(key) is None else round(entry[key] * 1e6, 6)
        yield f"price.{name}", getattr(card.price, name), theirs
    if card.price and card.price.batch is not None:  # the others have no batch endpoint in OpenAI's style
        for name in ("input", "output"):
            theirs = round(entry.get(f"{FIELDS[name]}_batches", 0) * 1e6, 6)
            yield f"price.{name} in a batch", round(getattr(card.price.in_batch(), name), 6), theirs
    yield "retired", str(card.retired or "never"), entry.get("deprecation_date", "never")
    short = card.context is not None and card.context < entry.get("max_input_tokens", 0)
    yield "context", card.context, entry["max_input_tokens"] if short else None


def triple(price: Price) -> tuple[float, float | None, float]:
    """The three numbers of a price."""
    return price.input, price.cached_input, price.output


def line(price: Price) -> str:
    """A price as a card has it."""
    numbers = {
        "input": price.input,
        "cached_input": price.cached_input,
        "output": price.output,
        "batch": price.batch,
    }
    shown = ", ".join(f"{name} = {value:g}" for name, value in numbers.items() if value is not None)
    return f'{{ {shown}, date = "{price.date}", source = "{price.source}" }}'


if __name__ == "__main__":
    sys.exit(main())
