"""The file judged by frictionless: a Table Schema as the catalogue exports it, and checks of whole rows.

`DEFAULT` as the third argument leaves the limit of errors as the tool has it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import attrs
from frictionless import Check, Checklist, Dialect, Error, Resource, Row, Schema, checks, errors, formats
from plain import Found, number_fits, run


@attrs.define(kw_only=True, repr=False)
class AcrossFields(Check):
    """Identity number, dates in order, amounts and values that others ask for."""

    type = "across-fields"
    Errors = [errors.CellError]
    rules: dict[str, Any]

    def connect(self, resource: Any) -> None:
        super().connect(resource)
        self.regions = set(self.rules["regions"])

    def validate_row(self, row: Row) -> Iterator[Error]:
        for header in sorted(self.wrong(row)):
            yield errors.CellError.from_row(row, note="across fields", field_name=header)

    def wrong(self, row: Row) -> set[str]:
        r, found = self.rules, set()
        kind = r["certificates"].get(row[r["certificate"]], "111")
        if not number_fits(row[r["number"]], kind, self.regions):
            found.add(r["number"])
        for later, earlier in r["orders"]:
            if row[later] is not None and row[earlier] is not None and row[later] < row[earlier]:
                found.add(later)
        for amount, when, words in r["amounts"]:
            if any(w in (row[when] or "") for w in words) and not (row[amount] or 0) > 0:
                found.add(amount)
        for needed, when, words in r["required_if"]:
            if row[when] in words and row[needed] is None:
                found.add(needed)
        return found


def field(c: dict[str, Any], rules: dict[str, Any]) -> dict[str, Any]:
    kinds = {"date": "date", "timestamp": "datetime", "decimal": "number", "integer": "integer"}
    found: dict[str, Any] = {"name": c["header"], "type": kinds.get(c["type"], "string")}
    if c["header"] in rules["forms"]:
        found["format"] = rules["forms"][c["header"]]
    constraints: dict[str, Any] = {"required": True} if c["required"] else {}
    if c["enum"]:
        constraints["enum"] = c["enum"]
    if c["length"]:
        constraints["maxLength"] = c["length"]
    if c["patterns"]:
        constraints["pattern"] = "".join(f"(?={p}$)" for p in c["patterns"]) + ".*"
    if c["between"]:
        constraints["minimum"] = max(low for low, _ in c["between"])
        constraints["maximum"] = min(high for _, high in c["between"])
    return found | ({"constraints": constraints} if constraints else {})


def judge(rules: dict[str, Any]) -> Found:
    schema = Schema.from_descriptor({"fields": [field(c, rules) for c in rules["columns"]]})
    resource = Resource(
        path=rules["path"],
        encoding=rules["encoding"],
        schema=schema,
        dialect=Dialect(controls=[formats.CsvControl(delimiter=rules["delimiter"])]),
    )
    checklist = Checklist(checks=[checks.duplicate_row(), AcrossFields(rules=rules)])
    most = {} if "DEFAULT" in sys.argv else {"limit_errors": 10**9}
    report = resource.validate(checklist, **most)
    lines = rules["lines"]  # the tool counts records; of each it is known on which line it begins
    return sorted(
        {
            (lines[e.row_number - 2], getattr(e, "field_name", ""))
            for task in report.tasks
            for e in task.errors
            if hasattr(e, "row_number")
        }
    )


if __name__ == "__main__":
    import os

    os.chdir(os.path.dirname(sys.argv[1]))  # paths that leave the folder are not trusted
    from frictionless import system

    with system.use_context(trusted=True):
        run(judge)
