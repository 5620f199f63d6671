"""What every step of a night is handed, and how it is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pipelines.apply import apply, summary
from pipelines.errors import StoreError
from pipelines.judge import Desk, kept_catalogue, kept_path
from pipelines.model import Home, memory_limit
from pipelines.stores import postgres
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger
from pipelines.stores.own_keys import own_keys
from pipelines.stores.rotation import settle
from pipelines.stores.spark import ENGINES, cluster_of
from pipelines.stores.still import at_work, turn
from schemas.model import Catalog


@dataclass(frozen=True)
class Night(Desk):
    """What every step of a night is handed: a desk and the stores. `applied` tells what opening it changed in the
    stores, where the catalogue is another one than the last night's."""

    ledger: Ledger
    lake: Lake
    applied: tuple[str, ...] = ()


@contextmanager
def open_night(
    home: str | Path, day: str | date, is_preview: bool = False, engine: str | None = None
) -> Iterator[Night]:
    """Load the catalogue, start or find the database, prepare the stores and bring them to the catalogue where its
    changes break nothing; a preview leaves them as they are. `engine` judges what is large; by default the one that
    QIONGXIN_ENGINE names, or else that of one machine. Raises `StoreError`, `CatalogError`, `UsageFault`."""
    memory_limit()  # a wrong one is told before anything is begun
    place = Home(Path(home).resolve())
    as_of = day if isinstance(day, date) else date.fromisoformat(day)
    place.root.mkdir(parents=True, exist_ok=True)
    place.make_restricted()
    named = engine or os.environ.get("QIONGXIN_ENGINE") or ENGINES[0]
    with cluster_of(named, place.work) as cluster, Ledger(postgres.ensure(place.root)) as ledger:
        catalog = kept_catalogue(place)
        ledger.prepare()
        with at_work(ledger), closing(_its_lake(place, ledger, ledger.url)) as lake:
            settle(place, ledger)
            keys = own_keys(place.root, ledger)
            applied: tuple[str, ...] = ()
            if ledger.applied() != catalog.revision and not is_preview:
                planned, done = apply(place, ledger, lake, catalog, as_of)
                _forget_compiled(place, catalog)
                applied = (summary(planned), *done)
            yield Night(place, catalog, keys, as_of, ledger, lake, applied, cluster=cluster)


def _forget_compiled(home: Home, catalog: Catalog) -> None:
    """Drop what was compiled of other catalogues."""
    keep = kept_path(home, catalog.revision)
    for path in keep.parent.glob("*.json"):
        if path != keep:
            path.unlink(missing_ok=True)


def _its_lake(home: Home, ledger: Ledger, url: str) -> Lake:
    """The curated store of a home that others may open now: of two who make its tables at once one would fail."""
    with turn(ledger, "lake"):
        return open_lake(home, url)


def open_lake(home: Home, url: str) -> Lake:
    """The curated store of a home. Raises `StoreError`."""
    try:
        return Lake(url, home.root / "curated")
    except OSError as e:
        raise StoreError(f"curated/: {e.strerror}. Make the place writable, then run again.") from e
