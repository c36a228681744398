"""docs/sets.md: what it names is there, and every everyday corruption has a product."""

from __future__ import annotations

import re
from pathlib import Path

from mmdbench.corruptions import get_corruption_names

PAGE = Path(__file__).parents[2] / "docs" / "sets.md"


def test_the_products_name_every_everyday_corruption_and_nothing_that_is_none():
    table = PAGE.read_text("utf-8").split("## By product")[1].split("## ")[0]
    rows = [line.split("|")[3] for line in table.splitlines() if line.startswith("| ")][1:]
    everyday = {name.partition(".")[2] for name in get_corruption_names("everyday")}
    named = {word for row in rows for word in re.findall(r"`(\w+)`", row)} - {"paper"}
    assert everyday <= named
    assert named <= everyday | set(get_corruption_names())
