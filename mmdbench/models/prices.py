"""Prices of models: US dollars for a million tokens, from a model card or from the genai-prices package.

A card names the list that its price is from in `source`. An installed genai-prices (extra `prices`), which
knows prices by date, replaces such a list price; a price without a source is the user's own and stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from importlib import util
from typing import Any

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.system.bounds import require_between

__all__ = ["Price", "listed_price", "read_price"]

_TOKENS = 1000
"""Tokens that are priced: few enough for the lowest step of a price that rises with the prompt."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens read and written, and the date of these prices (ISO 8601).

    `cached_input` is the price of tokens read from the server's cache; `input` if absent. `source` names the
    price list and its version; empty for a price of the user's own. `batch` is the share of the price, from
    0 to 1, that the server takes for requests in a batch; None if it is not known.
    """

    input: float
    output: float
    date: str
    cached_input: float | None = None
    source: str = ""
    batch: float | None = None

    def in_batch(self) -> Price:
        """The price of requests in a batch; the same price if no other one is known."""
        share = 1.0 if self.batch is None else self.batch
        cached = None if self.cached_input is None else self.cached_input * share
        return replace(self, input=self.input * share, output=self.output * share, cached_input=cached)

    def __str__(self) -> str:
        origin = f"{self.source}, {self.date}" if self.source else self.date
        return f"{self.input:g} / {self.output:g} a million tokens ({origin})"

    def usd(self, read: int, written: int, cached: int = 0) -> float:
        """The cost of a request.

        Args:
            read: Tokens read.
            written: Tokens written.
            cached: Those of the tokens read that came from the server's cache.

        Returns:
            US dollars.

        >>> Price(0.4, 1.6, "2025-04-14").usd(1_000_000, 500_000)
        1.2
        """
        cheap = self.input if self.cached_input is None else self.cached_input
        return ((read - cached) * self.input + cached * cheap + written * self.output) / 1e6


def read_price(table: Mapping[str, Any], name: str, where: str) -> Price:
    """Read the `price` table of a card.

    Args:
        table: The table.
        name: The name of the card, for messages.
        where: The file of the card, for messages.

    Returns:
        The price.

    Raises:
        UnknownNameError: A key of the table is not known.
        UsageError: A price or the date is missing, or no number of at least 0.
    """
    known = ("input", "output", "date", "cached_input", "source", "batch")
    for key in table:
        if key not in known:
            raise UnknownNameError(f"key of the price of [{name}] in {where}:", key, known)
    numbers = {k: v for k, v in table.items() if k not in ("date", "source")}
    good = all(isinstance(v, int | float) and not isinstance(v, bool) and v >= 0 for v in numbers.values())
    if not good or not {"input", "output"} <= set(table) or not table.get("date"):
        raise UsageError(
            f"{where}: the price of [{name}] must hold input and output, in US dollars for a million tokens, "
            "and the date of that price.",
            hint='For example price = { input = 0.4, output = 1.6, date = "2025-04-14" }.',
        )
    if "batch" in table:
        require_between(f"{where}: price.batch of [{name}]", table["batch"], 0, 1)
    return Price(**{**table, "date": str(table["date"]), "source": str(table.get("source", ""))})


def listed_price(model: str, endpoint: str) -> Price | None:
    """The price of today in the installed genai-prices; None without the package, or if it has none.

    Args:
        model: The id of the model at the endpoint.
        endpoint: The base URL, by which the package knows the provider.

    Returns:
        The price for prompts of ordinary length. Its date is that of the newest change in the package.
    """
    if not model or util.find_spec("genai_prices") is None:
        return None
    from genai_prices import Usage, calc_price

    def of(**tokens: int) -> float:
        found = calc_price(Usage(**tokens), model, provider_api_url=endpoint)
        return float(found.total_price * 1_000_000 / _TOKENS)

    try:
        read = of(input_tokens=_TOKENS)
        cached = of(input_tokens=_TOKENS, cache_read_tokens=_TOKENS)
        written = of(output_tokens=_TOKENS)
    except LookupError:
        return None
    from importlib import metadata

    source = f"genai-prices {metadata.version('genai-prices')}"
    return Price(
        read,
        written,
        _newest_change(datetime.now().astimezone().date()),
        None if cached == read else cached,
        source,
    )


def _newest_change(today: date) -> str:
    """The newest change of a price that the package knows and that is not in the future."""
    from genai_prices.data_snapshot import get_snapshot

    models = [model for provider in get_snapshot().providers for model in provider.models]
    prices = [price for model in models if isinstance(model.prices, list) for price in model.prices]
    dates = [getattr(price.constraint, "start_date", None) for price in prices]
    return max((day for day in dates if day and day <= today), default=today).isoformat()
