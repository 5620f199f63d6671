"""The command line's own help as a page, read from the declared commands, whatever the width of the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.markdown import page, table

EXIT_CODES = (
    (0, "done; rejected rows and returned files are normal"),
    (1, "`check` found an error, a hold or an unreadable file; no other command says it"),
    (2, "the command cannot be carried out as written, or the catalogue has a fault"),
    (3, "something is held, the rest is published"),
    (4, "storage or database; the same command is safe to run again"),
)


def leaves(command: Any, path: str = "qiongxin") -> Iterator[tuple[str, Any]]:
    """Every command that does something, as (`qiongxin catalog lint`, the command), in declared order."""
    for name, inner in command.commands.items():
        if hasattr(inner, "commands"):
            yield from leaves(inner, f"{path} {name}")
        else:
            yield f"{path} {name}", inner


def manual(command: Any) -> str:
    """Markdown: one section per command with usage, options and an example, then the exit codes."""
    lines = [
        "# 命令 · Commands",
        "",
        "Made by `qiongxin catalog docs` from the commands' own help; do not edit it here.",
    ]
    for path, leaf in leaves(command):
        shown = [p for p in leaf.params if not p.hidden]
        needed = [_name(p) for p in shown if p.required]
        usage = " ".join([path, *needed, "[OPTIONS]"])
        lines += ["", f"## {path}", "", *_told(leaf.help), "", f"`{usage}`", ""]
        lines += table(("option", "means", "default"), (_row(p) for p in shown))
        lines += ["", f"Example: `{leaf.epilog.removeprefix('Example: ')}`"]
    lines += ["", "## Exit codes", "", *table(("code", "means"), EXIT_CODES)]
    return page(lines)


def _told(text: str) -> list[str]:
    """The help with its line breaks taken out, paragraph by paragraph."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")).split("\n")


def _row(parameter: Any) -> tuple[str, str, str]:
    default = "required" if parameter.required else "" if getattr(parameter, "is_flag", False) else _default(parameter)
    return f"`{_name(parameter)}`", parameter.help or "", default


def _name(parameter: Any) -> str:
    if not parameter.opts[0].startswith("-"):
        return str(parameter.metavar)
    return str(parameter.opts[0] if parameter.is_flag else f"{parameter.opts[0]} {parameter.metavar}")


def _default(parameter: Any) -> str:
    own = "" if parameter.default in (None, "") else f"`{parameter.default}`"
    return f"`{parameter.envvar}`, else {own}" if parameter.envvar else own
