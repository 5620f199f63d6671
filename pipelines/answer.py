"""What there is to answer a delivery, wherever it was judged: on a night, or by a department's own dry run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from typing import Any

from pipelines.errors import DeliveryError
from pipelines.judge import Desk, judging
from pipelines.stages.receipt import Answer
from pipelines.stages.told import Told, nothing, told, without
from schemas.expected import expected


@contextmanager
def answering(desk: Desk, row: Mapping[str, Any], but: AbstractSet[tuple[int, str]] = frozenset()) -> Iterator[Answer]:
    """What there is to answer a delivery of the ledger, or of a dry run; one that was returned has no findings. `but`:
    line and sheet ('' for none) of rows that were corrected since, of which nothing is said."""
    try:
        item = judging(desk.catalog, row["item"], row["department"], row["period"])
    except DeliveryError:
        item = desk.catalog.items[row["item"]]
    with ExitStack() as stack:
        found = Told(nothing, nothing)
        if row["state"] != "returned":
            found = stack.enter_context(told(desk.home, row["delivery_id"], item, desk.catalog.findings))
            found = without(found, but) if but else found
        labels = {f.name: f.label_zh for f in item.live_fields}
        prefix = next(iter(desk.limit("echo_prefixes")), "")
        yield Answer(found, desk.catalog.findings, expected(item, desk.catalog), labels, prefix)
