"""The pages of docs/commands: what the commands' help says, as Markdown.

``python -m dbmanager.cli.pages FOLDER`` writes them. They are made of the commands' parts and not
of the help's text, whose form differs between versions of click and of Python.
"""

import argparse
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from dbmanager.cli import run
from dbmanager.cli.commands import commands

_HEAD = "<!-- Made from the command's help by `make docs-commands`: do not edit. -->"

_WIDTH = 130


def pages() -> dict[str, str]:
    """Give the pages by the names of their commands."""
    root = click.Context(commands, info_name="dbmanager", **commands.context_settings)
    made = {"run": _joined(["# `dbmanager run`", _HEAD, *_of_parser(run.parser())])}
    for name in commands.list_commands(root):
        command = commands.get_command(root, name)
        if command is not None and name not in made:
            parts = _of_command(command, click.Context(command, info_name=name, parent=root), 1)
            title = next(parts)
            made[name] = _joined([title, _HEAD, *parts])
    return made


def write(folder: Path) -> None:
    """Write the pages, and remove those of commands that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {folder / f"{name}.md": text for name, text in pages().items()}
    for old in set(folder.glob("*.md")) - made.keys():
        old.unlink()
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")


def _of_command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    """Give the parts of a command's page, and of those that it has itself."""
    yield f"{'#' * level} `{context.command_path}`"
    yield _paragraphs(command.help)
    params = command.get_params(context)
    arguments = [param for param in params if isinstance(param, click.Argument)]
    usage = [context.command_path, "[OPTIONS]", *map(_argument, arguments)]
    usage += ["COMMAND [ARGS]..."] if isinstance(command, click.Group) else []
    yield _usage(" ".join(usage))
    yield _table(_option(param) for param in params if isinstance(param, click.Option))
    yield _paragraphs(command.epilog)
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            below = click.Context(inner, info_name=name, parent=context)
            yield from _of_command(inner, below, level + 1)


def _argument(argument: click.Argument) -> str:
    if argument.metavar:
        return argument.metavar
    name = (argument.name or "").upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _option(option: click.Option) -> tuple[str, str]:
    # The short name first: older releases of click have `--help, -h`.
    names = ", ".join(sorted(option.opts, key=len))
    names += "".join(f" / {name}" for name in option.secondary_opts)
    if not option.is_flag and not option.count:
        names += f" {option.metavar or _value(option)}"
    told = option.help or ""
    if option.show_default and option.default is not None:
        told += f" Default: `{option.default}`."
    return names, told + (" Required." if option.required else "")


def _value(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return "[" + "|".join(map(str, option.type.choices)) + "]"
    return option.type.name.upper()


def _of_parser(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Give the parts of the page of a command that is built with argparse."""
    yield _paragraphs(parser.description)
    yield _usage((parser.usage or parser.format_usage().removeprefix("usage: ")).strip())
    yield _table(_action(action) for action in parser._actions)
    yield _paragraphs(parser.epilog)


def _action(action: argparse.Action) -> tuple[str, str]:
    names = ", ".join(action.option_strings) or str(action.metavar or action.dest.upper())
    if action.option_strings and action.nargs != 0:
        values = "{" + ",".join(map(str, action.choices or ())) + "}"
        names += f" {action.metavar or (values if action.choices else action.dest.upper())}"
    told: dict[str, Any] = vars(action)
    return names, (action.help or "") % told


def _usage(text: str) -> str:
    return f"```console\n$ {text}\n```"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = (f"| `{_cell(names)}` | {_cell(_plain(told))} |" for names, told in rows)
    return "\n".join(["| Option | Meaning |", "|---|---|", *lines])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _paragraphs(text: str | None) -> str:
    """Give a help text with a line a paragraph; those that are marked keep their lines."""
    paragraphs = (text or "").replace("\f", "").strip().split("\n\n")
    return "\n\n".join(map(_paragraph, paragraphs))


def _paragraph(text: str) -> str:
    if text.startswith("\b\n"):
        return "```text\n" + text.removeprefix("\b\n") + "\n```"
    words = _plain(" ".join(text.split()))
    return textwrap.fill(words, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _plain(text: str) -> str:
    """Have `__main__` and its like not taken for bold letters."""
    return text.replace("__", "\\_\\_")


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
