"""Where a key stands in a TOML file of the catalogue: what the parser does not tell, for messages and origins."""

from __future__ import annotations

import re

TABLE = re.compile(r"^\[([^\[\]]+)\]")
KEY = re.compile(r"^([A-Za-z0-9_]+)\s*=")
ENTRY = re.compile(r"^\s+\{")


def lines(text: str) -> dict[str, int]:
    """Dotted key -> line, from 1: tables, keys, and the entries of a list that has a line for each (`rules.0`).

    Reads the plain style in which the catalogue is written: one key a line, one table a head.
    """
    found: dict[str, int] = {}
    table, key, entries = "", "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if head := TABLE.match(line):
            table, key = f"{head[1].strip()}.", ""
            found.setdefault(head[1].strip(), number)
        elif stated := KEY.match(line):
            key, entries = f"{table}{stated[1]}", 0
            found.setdefault(key, number)
        elif key and ENTRY.match(line):
            found[f"{key}.{entries}"] = number
            entries += 1
    return found


def nearest(known: dict[str, int], key: str) -> int:
    """The line of a key, or of the closest thing that holds it; 1 where nothing does."""
    while key:
        if key in known:
            return known[key]
        key = key.rpartition(".")[0]
    return 1
