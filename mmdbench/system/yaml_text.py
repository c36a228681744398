r"""YAML that somebody else may have written or damaged, read as strictly as JSON.

>>> parse_yaml("seed: 1\nseed: 2")
Traceback (most recent call last):
    ...
ValueError: the key 'seed' occurs twice, line 1
"""

from __future__ import annotations

from typing import Any

import yaml

from mmdbench.system.json_text import MOST_LEVELS, TOO_DEEP

__all__ = ["parse_yaml"]

# The compiled loader is 8 times as fast; PyYAML may have been built without it.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """YAML that refuses a key given twice."""


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [key.value for key, _ in node.value]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise ValueError(f"the key {twice[0]!r} occurs twice, line {node.start_mark.line + 1}")
    mapping: dict[Any, Any] = loader.construct_mapping(node, deep=True)
    return mapping


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def parse_yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises ValueError, in one line, for a text that is no YAML, makes more than plain values, has a key that
    occurs twice, an alias (a few of which can stand for gigabytes), or more than `MOST_LEVELS` levels.
    """
    try:
        _require_plain(text)
        return yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        raise ValueError(
            f"{error.problem or error.context}{_place(error.problem_mark or error.context_mark)}"
        ) from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _require_plain(text: str) -> None:
    levels = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            place = _place(event.start_mark)
            raise ValueError(f"*{event.anchor} is an alias{place}: write its value")  # noqa: TRY004 - as bad YAML
        levels += isinstance(event, yaml.CollectionStartEvent)
        levels -= isinstance(event, yaml.CollectionEndEvent)
        if levels > MOST_LEVELS:
            raise ValueError(TOO_DEEP)


def _place(mark: Any) -> str:
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
