"""An item compiled for the engine of one machine: its trees as SQL, and what their tags mean.

Compiling takes a tenth of a second and every delivery needs it, so what was compiled is kept: `key` names it by
everything it is made of, the sources of this package among them, and so nothing stale is ever found under it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from sqlglot import exp

from schemas import record, row_rules
from schemas.model import Catalog, Item
from schemas.row_rules import Policy


@dataclass(frozen=True)
class Check:
    """What a tag in `failed` and `notes` stands for."""

    tag: str
    field: str
    code: str
    severity: str


@dataclass(frozen=True)
class Compiled:
    """SQL of the layers of `schemas.row_rules` and `schemas.record`, each over the one before: `staged` -> texts ->
    located -> passing (accepted rows) -> record; judged is over located."""

    texts: str
    located: str
    passing: str
    record: str
    judged: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Trees:
    """What `Compiled` has, as trees, for whichever engine."""

    texts: exp.Select
    located: exp.Select
    passing: exp.Select
    record: exp.Select
    judged: exp.Select


def trees(item: Item, catalog: Catalog, policy: Policy) -> Trees:
    """`item` is one by which deliveries are judged (schemas.overlay.effective)."""
    return _trees(item, row_rules.checks(item, catalog, policy), policy)


def _trees(item: Item, listed: list[row_rules.Check], policy: Policy) -> Trees:
    return Trees(
        row_rules.texts(item),
        row_rules.located(item),
        row_rules.accepted(listed),
        record.select(item, "passing", policy.third_persons),
        row_rules.judged(listed),
    )


def compile_item(item: Item, catalog: Catalog, policy: Policy) -> Compiled:
    """The same for the engine of one machine."""
    listed = row_rules.checks(item, catalog, policy)
    of = _trees(item, listed, policy)
    told = tuple(Check(c.tag, c.field, c.code, c.severity) for c in listed)
    return Compiled(_sql(of.texts), _sql(of.located), _sql(of.passing), _sql(of.record), _sql(of.judged), told)


def _sql(tree: exp.Expr) -> str:
    return tree.sql(dialect="duckdb", copy=False)


def key(item: Item, catalog: Catalog, policy: Policy) -> str:
    """Names what `compile_item` gives: the catalogue's revision, this item as it holds, the policy, and the code."""
    dormant = sorted({f.name for f in item.fields} - {f.name for f in item.live_fields})
    said = [catalog.revision, item.model_dump_json(exclude_defaults=True), *dormant, repr(policy), sources()]
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:32]


def to_json(compiled: Compiled) -> str:
    return json.dumps(asdict(compiled), ensure_ascii=False)


def from_json(text: str) -> Compiled:
    told = json.loads(text)
    return Compiled(**{**told, "checks": tuple(Check(**c) for c in told["checks"])})


@cache
def sources() -> str:
    """Hash of the sources of this package."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
