"""Changes of files by their structure: an entry of another type, a key gone or twice, a byte.

Every function takes the random generator, so that a number names a file for ever.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from copy import deepcopy

DEEP = "@deep"
"""Stands for lists in lists, deeper than any reader goes, in a tree; `as_json` writes them."""

ODD = [
    None,
    True,
    False,
    0,
    -1,
    2,
    1.5,
    -0.0,
    2**63,
    10**400,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "x",
    "1",
    "nan",
    "\x00",
    "\ud800",
    "a\tb\x1b[31m",
    "../../x",
    "/abs",
    "Ω" * 40,
    "x" * 500,
    "clean",
    [],
    [[]],
    [None],
    [1, "x"],
    {},
    {"x": 1},
    {"": None},
    {"id": "x"},
    [{}],
    [{"name": "x"}],
    DEEP,
]

ODD_BYTES = [
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\n",
    b"\r",
    b"{",
    b"[",
    b'"',
    b"}",
    b",",
    b"\\u0000",
    b"\\ud800",
    b"NaN",
    b"1e999",
    b"-",
    b"9" * 4000,
    b"9" * 5000,
    b"[" * 3000,
    b'{"a":' * 3000,
    b"null",
    b"\t",
    b"\xe2\x80\xa8",
]


def change_tree(tree, chance):
    """A copy of a JSON-able value with one to three changes."""
    tree = [deepcopy(tree)]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        _change(tree, chance)
    return tree[0]


def _change(tree, chance):
    holder, key = chance.choice(list(_places(tree)))
    old = holder[key]
    kind = chance.randrange(8)
    if kind == 0 and holder is not tree:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[chance.choice((key + "x", "x", ""))] = holder.pop(key)
    elif kind == 2:
        holder[key] = [old]
    elif kind == 3:
        holder[key] = {"x": old}
    elif kind == 4 and isinstance(holder, list):
        holder.insert(key, deepcopy(old))
    elif kind == 5:
        places = list(_places(tree))
        other, name = chance.choice(places)
        holder[key] = deepcopy(other[name])
    elif kind == 6 and isinstance(old, (int, float)):
        holder[key] = str(old) if chance.random() < 0.5 else -old
    else:
        holder[key] = deepcopy(chance.choice(ODD))


def _places(tree):
    """Every place of a value within a list or table."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], (dict, list)):
            yield from _places(tree[key])


def as_json(tree, **options):
    """A tree as JSON, with what JSON does not allow, but Python's reader takes."""
    text = json.dumps(tree, **options)
    depth = 50_000
    return text.replace(json.dumps(DEEP), "[" * depth + "]" * depth).encode()


def change_json(data, chance):
    """A JSON text, changed in its structure, in its bytes, or by a key that occurs twice."""
    kind = chance.randrange(6)
    if kind == 0:
        return change_bytes(data, chance)
    if kind == 1:
        return twice(data, chance)
    return as_json(change_tree(json.loads(data), chance))


def change_lines(data, chance):
    """A file of JSON lines, with one line changed, left out, repeated or moved, or one of its bytes."""
    lines = data.splitlines(keepends=True)
    place = chance.randrange(len(lines))
    kind = chance.randrange(9)
    if kind == 0:
        return change_bytes(data, chance)
    if kind == 1:
        del lines[place]
    elif kind == 2:
        lines.insert(chance.randrange(len(lines)), lines[place])
    else:
        lines[place] = change_json(lines[place], chance).replace(b"\n", b" ") + b"\n"
    return b"".join(lines)


def twice(data, chance):
    """A text of JSON in which one key occurs twice, with another value."""
    keys = list(re.finditer(rb'"(\w+)"\s*:', data))
    if not keys:
        return data
    found = chance.choice(keys)
    odd = as_json(chance.choice([0, 1, "x", None, [], {}]))
    return data[: found.start()] + found[0] + odd + b"," + data[found.start() :]


def change_bytes(data, chance):
    """Bytes that are cut, flipped, inserted, removed or repeated."""
    place = chance.randrange(len(data) + 1)
    kind = chance.randrange(6)
    if kind == 0:
        return data[:place]
    if kind == 1 and place < len(data):
        return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
    if kind == 2:
        return data[:place] + data[place + chance.randrange(1, 40) :]
    if kind == 3:
        return chance.choice(ODD_BYTES) + data
    end = place + chance.randrange(1, 60)
    if kind == 4:
        return data[:end] + data[place:]
    return data[:place] + chance.choice(ODD_BYTES) + data[place:]


def change_text(data, chance):
    """Lines of TOML or YAML: a value that is another one, a line that is gone, moved or there twice."""
    lines = data.splitlines(keepends=True)
    place = chance.randrange(len(lines))
    kind = chance.randrange(8)
    if kind == 0:
        return change_bytes(data, chance)
    if kind == 1:
        del lines[place]
    elif kind == 2:
        lines.insert(chance.randrange(len(lines)), lines[place])
    elif kind == 3:
        lines[place] = lines[place].replace(b"[", b"[[").replace(b"]", b"]]")
    elif kind == 4:
        lines.insert(place, chance.choice(_ODD_LINES) + b"\n")
    else:
        odd = chance.choice(_ODD_VALUES)
        lines[place] = re.sub(
            rb"([:=]) *[^\n]*", lambda found: found[1] + b" " + odd, lines[place].rstrip(b"\n")
        )
        lines[place] += b"\n"
    return b"".join(lines)


_ODD_VALUES = [
    b"",
    b"1",
    b"-1",
    b"1.5",
    b"nan",
    b"inf",
    b".nan",
    b".inf",
    b"1e999",
    b"9" * 400,
    b"9" * 5000,
    b"true",
    b'"x"',
    b"''",
    b'"\\u0000"',
    b"[]",
    b"[1, 'x']",
    b"{}",
    b"{ x = 1 }",
    b"{ x: 1 }",
    b"[[]]",
    b"2027-01-14",
    b"2027-01-14T00:00:00",
    b"00:00:00",
    b"[" * 3000 + b"]" * 3000,
    b"{a=" * 3000 + b"1" + b"}" * 3000,
    b"&a [*a]",
    b"!!python/object:os.system x",
    b"? x",
]
_ODD_LINES = [b"[x]", b"[[x]]", b"x = 1", b"x: 1", b"- x", b"1: 2", b"[1, 2]: 3", b"a." * 3000 + b"b = 1"]


def change_cells(data, chance):
    """A table with tabs: a cell, a line or a column that is changed."""
    lines = [line.split(b"\t") for line in data.rstrip(b"\n").split(b"\n")]
    row = chance.choice(lines)
    place = chance.randrange(len(row))
    kind = chance.randrange(6)
    if kind == 0:
        return change_bytes(data, chance)
    if kind == 1:
        del row[place]
    elif kind == 2:
        row.insert(place, chance.choice(row))
    elif kind == 3:
        lines.insert(chance.randrange(len(lines)), list(row))
    else:
        row[place] = chance.choice(
            [*ODD_BYTES, b"", b"x", b"0", b"-1", b"1.5", b"nan", b"[]", b"['x']", b'["/9j/"]', b"9" * 400]
        )
    return b"\n".join(b"\t".join(row) for row in lines) + b"\n"


def change_zip(data, chance):
    """A ZIP archive with bytes of one of its members changed, or its own."""
    if chance.random() < 0.3:
        return change_bytes(data, chance)
    with zipfile.ZipFile(io.BytesIO(data)) as there:
        members = {name: there.read(name) for name in there.namelist()}
    name = chance.choice(sorted(members))
    if chance.random() < 0.1:
        del members[name]
    else:
        members[name] = chance.choice([change_bytes, _change_markup])(members[name], chance)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, member in members.items():
            made.writestr(name, member)
    return buffer.getvalue()


def _change_markup(data, chance):
    values = list(re.finditer(rb'"[^"<>]*"|>[^<>]+<', data))
    if not values:
        return data
    found = chance.choice(values)
    odd = chance.choice(
        [b"", b"-1", b"1e999", b"nan", b"9" * 400, b"x", b"2000000", b"&#0;", b"A1:XFD1048576"]
    )
    return data[: found.start() + 1] + odd + data[found.end() - 1 :]
