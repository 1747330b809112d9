"""Valid content becomes content that is wrong somewhere: bytes, text, numbers, trees, tables."""

from __future__ import annotations

import copy
import csv
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

ENDLESS = "9" * 5000
"""More digits than Python's int() takes from a text."""

NUMBER_TEXTS = (
    *("0", "-1", "1", "2", "0.5", "-0", "nan", "NaN", "-nan", "inf", "-inf", "Infinity"),
    *("1e300", "-1e300", "1e-300", "1e999", "1e18", "²", "３", "١", "½", "1_0", "0x10", "1.0"),
    *(" 1 ", "1,5", "--1", "2147483648", "9223372036854775808", "18446744073709551616"),
    *("9" * 400, ENDLESS, f"0.{ENDLESS}", "-" + ENDLESS, "1" + "0" * 20),
)
TEXTS = (
    *NUMBER_TEXTS,
    *("", " ", "\t", "none", "None", "null", "true", "all", "auto", "mean", "-", "--", "-x", "a,b"),
    *(
        "a" * 300,
        "a" * 5000,
        "é",
        "日本語",
        "🔊",
        "a\nb",
        "a\rb",
        "\x1b[31mred",
        "\x7f",
        "\udcff.wav",
    ),
    *("a:b", "a=b", "=", ",", ":", "1:2:3:4", "../x", "a/b", "a\\b", "%s%n", "{0}", "${x}", "[x]"),
    *("http://[", "http://x:y", "file:///etc/hostname", "//", "http://127.0.0.1:99999/"),
)
NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 0.5, -0.5, 1e300, -1e300, 1e-300, float("nan"), float("inf"), float("-inf")),
    *(2**31, 2**63, 2**64, -(2**63), 10**400, 10**18, 5e-324),
)
VALUES: tuple[Any, ...] = (None, True, False, "", [], {}, [[]], {"": None}, *NUMBERS)


def odd_value(dice: random.Random) -> Any:
    """Return a value that a JSON or TOML file may hold and that is rarely the right one."""
    pick = dice.random()
    if pick < 0.6:
        return copy.deepcopy(dice.choice(VALUES))
    if pick < 0.9:
        return dice.choice(TEXTS)
    return {"a": [1, {"b": None}], "name": dice.choice(TEXTS)}


def mutate_bytes(dice: random.Random, data: bytes) -> bytes:
    """Flip, overwrite, cut out, double or append bytes; a few changes at a time."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 4, 16))):
        place = _place(dice, len(changed))
        length = min(dice.choice((1, 2, 4, 8, 64, 1000)), len(changed) - place)
        match dice.randrange(8):
            case 0 if changed:
                changed[place] ^= 1 << dice.randrange(8)
            case 1:
                changed[place : place + length] = dice.randbytes(length)
            case 2:
                del changed[place:]
            case 3:
                del changed[place : place + length]
            case 4:
                changed[place:place] = changed[place : place + length]
            case 5:
                number = dice.choice(
                    (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0xFFFF, len(changed))
                )
                changed[place : place + 4] = struct.pack(dice.choice("<>") + "I", number)
            case 6:
                huge = dice.choice((0, 1, 2**63 - 1, 2**64 - 1, 2**40))
                changed[place : place + 8] = struct.pack(dice.choice("<>") + "Q", huge)
            case _:
                changed += dice.randbytes(length)
    return bytes(changed)


def _place(dice: random.Random, size: int) -> int:
    """Return a place; headers lie at the start (and a zip's at the end), so these come up often."""
    if size == 0:
        return 0
    if dice.random() < 0.5:
        return dice.randrange(min(size, 256))
    if dice.random() < 0.2:
        return size - 1 - dice.randrange(min(size, 256))
    return dice.randrange(size)


def mutate_text(dice: random.Random, text: str) -> bytes:
    """Change words of a text, or its bytes."""
    if dice.random() < 0.3:
        return mutate_bytes(dice, text.encode())
    words = text.split(" ")
    for _ in range(dice.choice((1, 1, 2))):
        words[dice.randrange(len(words))] = dice.choice(TEXTS)
    return " ".join(words).encode("utf-8", "surrogateescape")


def mutate_tree(dice: random.Random, tree: Any) -> Any:
    """Return a copy of a JSON tree of which a few places are changed, removed or added."""
    tree = copy.deepcopy(tree)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            return odd_value(dice)
        holder, key = dice.choice(places)
        match dice.randrange(6):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[dice.choice(TEXTS)] = odd_value(dice)
            case 1:
                holder.insert(key, odd_value(dice))
            case 2:
                other, name = dice.choice(places)
                holder[key] = copy.deepcopy(other[name])
            case _:
                holder[key] = _near(dice, holder[key])
    return tree


def _near(dice: random.Random, value: Any) -> Any:
    """Return another value: of the same type half the time, so that deeper checks are reached."""
    if dice.random() < 0.5 or value is None:
        return odd_value(dice)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return dice.choice([n for n in NUMBERS if isinstance(n, int)])
    if isinstance(value, float):
        return dice.choice(NUMBERS)
    if isinstance(value, str):
        return dice.choice((*TEXTS, value.upper(), value[:-1], value * 2, value + "\n"))
    return type(value)()


def _places(tree: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        found += [(holder, key) for key in keys]
        waiting += [holder[key] for key in keys if isinstance(holder[key], (dict, list))]
    return found


def nested(dice: random.Random, opening: str = "[", closing: str = "]") -> str:
    """Return brackets in brackets, deeper than a parser's stack."""
    depth = dice.choice((500, 5000, 200_000))
    return opening * depth + closing * dice.choice((depth, 0))


def mutate_json(dice: random.Random, tree: Any) -> bytes:
    """Return a JSON file of a changed tree, or a changed file of a tree."""
    pick = dice.random()
    if pick < 0.05:
        return nested(dice).encode()
    if pick < 0.1:
        return b'{"a":' * 5000 + b"1" + b"}" * 5000
    if pick < 0.15:
        return json.dumps(tree).replace("1", ENDLESS, 1).encode()
    if pick < 0.3:
        return mutate_bytes(dice, json.dumps(tree).encode())
    return json.dumps(mutate_tree(dice, tree)).encode("utf-8", "surrogateescape")


def toml_text(tree: dict[str, Any]) -> str:
    """Write a tree as TOML, a line per entry, what lies deeper in one line."""
    return "".join(f"{json.dumps(key)} = {_toml(value)}\n" for key, value in tree.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)} = {_toml(x)}" for key, x in value.items())
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return '""' if value is None else json.dumps(value, ensure_ascii=True)


def mutate_toml(dice: random.Random, tree: dict[str, Any]) -> bytes:
    """Return a TOML file of a changed tree, or a changed file of a tree."""
    pick = dice.random()
    if pick < 0.05:
        return f"a = {nested(dice)}\n".encode()
    if pick < 0.1:
        return f"a = {nested(dice, '{a=', '}')}\n".encode()
    if pick < 0.15:
        return toml_text({**tree, "false_alarm_rate": 1}).replace("= 1", f"= {ENDLESS}").encode()
    if pick < 0.35:
        return mutate_bytes(dice, toml_text(tree).encode())
    changed = mutate_tree(dice, tree)
    return toml_text(changed if isinstance(changed, dict) else {"a": changed}).encode()


def mutate_csv(dice: random.Random, data: bytes) -> bytes:
    """Change cells, rows or columns of a table, or its bytes."""
    if dice.random() < 0.25:
        return mutate_bytes(dice, data)
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    for _ in range(dice.choice((1, 1, 2, 3))):
        _change_table(dice, rows)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=dice.choice(("\n", "\r\n"))).writerows(rows)
    start = dice.choice((b"", b"", b"", b"\xef\xbb\xbf"))
    return start + text.getvalue().encode("utf-8", "surrogateescape")


def _change_table(dice: random.Random, rows: list[list[str]]) -> None:
    if not rows:
        return
    place = dice.randrange(len(rows))
    row = rows[place]
    match dice.randrange(6):
        case 0:
            del rows[place]
        case 1:
            rows.insert(place, list(dice.choice(rows)))
        case 2:
            row.insert(dice.randrange(len(row) + 1), dice.choice(TEXTS))
        case 3 if row:
            del row[dice.randrange(len(row))]
        case _ if row:
            row[dice.randrange(len(row))] = dice.choice((*TEXTS, "x" * 200_000))
        case _:
            rows.clear()


def mutate_zip(
    dice: random.Random, data: bytes, change: Callable[[str, bytes], bytes] | None = None
) -> bytes:
    """Change the content or the names of a zip's members, or the bytes of the zip."""
    if dice.random() < 0.3:
        return mutate_bytes(dice, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    place = dice.randrange(len(members))
    name, content = members[place]
    match dice.randrange(6):
        case 0:
            del members[place]
        case 1:
            members.append((name, content))
        case 2:
            members[place] = (odd_member_name(dice, name), content)
        case _:
            members[place] = (name, (change or (lambda _, x: mutate_bytes(dice, x)))(name, content))
    return zip_of(
        members, dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    )


def odd_member_name(dice: random.Random, name: str) -> str:
    """Return a name that an archive's member should not have, or has elsewhere."""
    odd = (
        "../" + name,
        "/" + name,
        "C:\\" + name,
        name + "/",
        name.replace("/", "\\"),
        "./" + name,
    )
    texts = [text for text in TEXTS if text and not any(0xD800 <= ord(c) < 0xE000 for c in text)]
    return dice.choice((*odd, *(text[:60_000] for text in texts)))


def zip_of(members: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip of the members, names that come twice included."""
    import warnings

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that comes twice
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, content in members:
                archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def mutate_safetensors(dice: random.Random, data: bytes) -> bytes:
    """Change a safetensors file's header as a tree, its values, or its bytes."""
    pick = dice.random()
    if pick < 0.3:
        return mutate_bytes(dice, data)
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    if pick < 0.5:
        body = mutate_bytes(dice, body)
        body = body[: len(data) - 8 - length].ljust(len(data) - 8 - length, b"\xff")
    elif pick < 0.6:
        names = [name for name in header if name != "__metadata__"]
        first, second = dice.choice(names), dice.choice(names)
        header[first], header[second] = header[second], header[first]
    elif pick < 0.7:
        name = dice.choice([name for name in header if name != "__metadata__"])
        header[name]["shape"] = [1, *header[name]["shape"]]
    else:
        header = mutate_tree(dice, header)
    text = json.dumps(header).encode("utf-8", "surrogateescape")
    return len(text).to_bytes(8, "little") + text + body
