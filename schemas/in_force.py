"""Dated policies that belong together, read as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

Limits = TypeVar("Limits")


def read(kind: type[Limits], effective: Callable[[str], Any]) -> Limits:
    """A dataclass whose fields bear the names of policies, each with its value in force, which `effective` gives;
    raises what that raises."""
    return kind(**{field.name: effective(field.name) for field in fields(kind)})  # type: ignore[arg-type]
