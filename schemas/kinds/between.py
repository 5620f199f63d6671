"""`between`: a number lies in a closed range. Options: low, high (one may be absent)."""

from typing import Any

from sqlglot import exp

CODE = "V006"
TYPES = ("integer", "decimal")
OPTIONS = ("low", "high")
REQUIRED = ()
EXAMPLES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"low": 0, "high": 100}, {"value": 101}, True),
    ({"low": 0, "high": 100}, {"value": -1}, True),
    ({"low": 0, "high": 100}, {"value": 100}, False),
    ({"low": 1}, {"value": 0}, True),
    ({"high": 5}, {"value": 6}, True),
    ({"high": 5}, {"value": None}, False),
]


def covers(wide: dict[str, Any], narrow: dict[str, Any]) -> bool:
    """Whether whatever the narrow range lets pass passes the wide one."""

    def ends(options: dict[str, Any]) -> tuple[float, float]:
        return float(options.get("low", "-inf")), float(options.get("high", "inf"))

    (low, high), (lowest, highest) = ends(narrow), ends(wide)
    return lowest <= low and high <= highest


def sentence(options: dict[str, Any]) -> tuple[str, str]:
    low, high = options.get("low"), options.get("high")
    if high is None:
        return f"不小于 {low}", f"at least {low}"
    if low is None:
        return f"不大于 {high}", f"at most {high}"
    return f"在 {low} 与 {high} 之间（含）", f"between {low} and {high}, both included"


def violated(column: exp.Expr, options: dict[str, Any]) -> exp.Expr:
    low, high = options.get("low"), options.get("high")
    tests: list[exp.Expr] = []
    if low is not None:
        tests.append(exp.LT(this=column.copy(), expression=exp.Literal.number(low)))
    if high is not None:
        tests.append(exp.GT(this=column.copy(), expression=exp.Literal.number(high)))
    return exp.or_(*tests)


def fault(options: dict[str, Any]) -> str | None:
    low, high = options.get("low"), options.get("high")
    for bound in (low, high):
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, int | float)):
            return f"bound {bound!r} is no number. Write a number."
    if low is None and high is None:
        return "neither low nor high is stated. State at least one."
    if low is not None and high is not None and low > high:
        return f"low {low} is above high {high}, so nothing can pass. Swap them."
    return None
