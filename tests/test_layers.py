"""The house: imports point down, rooms on one level do not know each other."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("schemas", "pipelines", "dags")
ABOVE = tuple(
    f"pipelines.{m}"
    for m in ("apply", "judge", "night", "answer", "check", "again", "exchange", "hands", "integrate", "run", "trace",
              "query", "alerts", "lineage", "notify", "backup", "restore", "cli", "commands")  # fmt: skip
)
FORBIDDEN = {
    "schemas": ("pipelines", "dags", "airflow"),
    "pipelines": ("dags", "airflow"),
    "pipelines/readers": ("pipelines.stores", "pipelines.stages", *ABOVE, "schemas.load"),
    "pipelines/stores": ("pipelines.readers", "pipelines.stages", *ABOVE, "schemas"),
    "pipelines/stages": (*ABOVE, "schemas.load"),
    "pipelines/sampling": ("schemas", "pipelines.readers", "pipelines.stages", "pipelines.stores"),
}


def modules() -> list[Path]:
    return sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_point_down(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    for room, words in FORBIDDEN.items():
        if not place.startswith(room + "/"):
            continue
        for name in imported(path):
            for word in words:
                assert name != word and not name.startswith(word + "."), (
                    f"{place} imports {name}; {room} may not know {word}. Hand the object in instead."
                )


def test_what_is_installed_is_what_is_there() -> None:
    """The package list of pyproject.toml names every folder of modules, and its data every file that is no module."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = {p.parent.relative_to(ROOT).as_posix().replace("/", ".") for p in modules()}
    assert set(declared["packages"]) == packages, "pyproject.toml [tool.setuptools.packages]: name each of them"
    data = {
        path
        for package, patterns in declared["package-data"].items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    others = {p for room in ROOMS for p in (ROOT / room).rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    left = [p.relative_to(ROOT).as_posix() for p in sorted(others - data) if p.suffix != ".py"]
    assert left == [], "pyproject.toml [tool.setuptools.package-data]: name each of them"
