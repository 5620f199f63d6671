"""What the catalogue says and what its items compile to, worked out once in a session of tests.

Reading the catalogue takes a third of a second and compiling an item as long, and every new home and most modules ask
for the same. Both are pure functions of files, whose names here are those under which a home keeps them; what raises
is not remembered. Commands that tests start work out theirs by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import schemas.compiled
import schemas.load


def remember() -> None:
    """To be called before anybody imports one of these functions by its name."""
    revision = schemas.load.revision
    schemas.load.load = _once(
        schemas.load.load, lambda root=None: (root or schemas.load.CATALOG, revision(root))
    )
    schemas.load.from_json = _once(
        schemas.load.from_json, lambda text, root=None: (text, Path(root or schemas.load.CATALOG), revision(root))
    )
    schemas.compiled.compile_item = _once(schemas.compiled.compile_item, schemas.compiled.key)


def _once(function: Callable[..., Any], key: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[Any, Any] = {}

    @wraps(function)
    def asked(*given: Any, **named: Any) -> Any:
        name = key(*given, **named)
        if name not in known:
            known[name] = function(*given, **named)
        return known[name]

    return asked
