"""What is generated is fresh, and what is written by hand about the commands is true."""

import re
from pathlib import Path
from typing import get_args

import pytest
from typer.main import get_command

from pipelines.cli import app
from pipelines.commands.catalog import documents
from pipelines.commands.manual import leaves
from schemas.dictionary import WORDS
from schemas.model import FieldSpec, Item
from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks import plots

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = dict(leaves(get_command(app)))


@pytest.mark.parametrize("name", sorted(documents(get_command(app))))
def test_generated_document_is_fresh(name: str) -> None:
    path = ROOT / "docs" / name
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    if kept != documents(get_command(app))[name]:
        pytest.fail(f"docs/{name} is not what the catalogue and the commands say. Run 'qiongxin catalog docs'.")


def test_commands_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = []
    for width in ("40", "200"):
        monkeypatch.setenv("COLUMNS", width)
        pages.append(documents(get_command(app))["commands.md"])
    assert pages[0] == pages[1]


def test_every_command_says_what_it_does_and_shows_an_example() -> None:
    for path, command in COMMANDS.items():
        assert command.help and command.help.splitlines()[0].endswith("."), path
        assert command.epilog.startswith(f"Example: {path}"), path
        options = {name for p in command.params for name in p.opts}
        assert {"--home", "--json"} <= options, f"{path}: every command takes --home and --json"
        assert all(p.help for p in command.params if not p.hidden), path


def test_readme_lists_exactly_the_commands_there_are() -> None:
    """Its table names them as `qiongxin catalog lint\\|list`, with the options worth knowing."""
    told: dict[str, set[str]] = {}
    for row in re.findall(r"^\| `(qiongxin [^`]*)` \|", README, re.MULTILINE):
        form = r"qiongxin( catalog| db| keys| stack| subjects)? ([a-z|]+)"
        group, names = re.match(form, row.replace("\\|", "|")).groups("")
        for name in names.split("|"):
            told[f"qiongxin{group} {name}"] = set(re.findall(r"--[a-z-]+", row))
    assert set(told) == set(COMMANDS), "README.md: the table of commands differs from 'qiongxin --help'. Mend it."
    for path, options in told.items():
        known = {name for p in COMMANDS[path].params for name in p.opts}
        assert options <= known, f"README.md: {path} has no option {options - known}. Mend the table."


def test_dictionary_has_a_word_for_every_value_a_declaration_may_take() -> None:
    declared = Item.model_fields | FieldSpec.model_fields
    for name in set(WORDS) - {"subject_types"}:
        values = set(get_args(declared[name].annotation))
        assert set(WORDS[name]) == values, f"schemas/dictionary.py [WORDS.{name}]: have a word for each value"


@pytest.mark.parametrize("plot", plots.PLOTS, ids=lambda plot: plot.file)
def test_a_plot_shows_what_the_page_says(plot: plots.Plot) -> None:
    drawn = (plots.FOLDER / f"{plot.file}.svg").read_text(encoding="utf-8")
    page = plots.PAGE.read_text(encoding="utf-8")
    assert drawn == plots.drawn(plot, page), "run: python -m tests.benchmarks.plots"
    assert f"(plots/{plot.file}.svg)" in page
    assert drawn.count("<rect") == 1 + len(plots.bars(plot, page)) > 2


def test_a_plot_of_a_table_that_is_not_there_is_refused() -> None:
    page = "# Page\n\n## Elsewhere\n\n| a |\n|---|\n| 1 |"
    with pytest.raises(LookupError, match="no table with 'wall s' below 'Elsewhere'"):
        plots.drawn(plots.Plot("x", "Elsewhere", "", "wall s", ("tool",)), page)


def test_one_command_runs_every_benchmark() -> None:
    """But the parts that others call."""
    modules = {path.stem for path in Path(benchmarks.__file__).parent.glob("*.py")}
    assert modules - {"__main__", "one_file", "plots"} == benchmarks.ALL.keys()
