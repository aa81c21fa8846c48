"""The pages of the commands are what the commands say."""

from pathlib import Path

import click
import pytest

from dbmanager.cli import pages
from dbmanager.cli.commands import commands

FOLDER = Path(__file__).parents[2] / "docs" / "commands"


def test_every_command_has_a_page_that_is_current(tmp_path: Path) -> None:
    pages.write(tmp_path)
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert made.keys() == {f"{name}.md" for name in commands.commands}
    assert there == made, "run `make docs-commands`"


def test_pages_of_commands_that_are_gone_are_removed(tmp_path: Path) -> None:
    (tmp_path / "gone.md").touch()
    pages.write(tmp_path)
    assert not (tmp_path / "gone.md").exists()


def test_a_command_with_commands_has_a_section_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.group("move", epilog="\b\nmove one a\nmove one b")
    def move() -> None:
        """Move."""

    @move.command("one")
    @click.argument("name")
    @click.option("--times", type=int, required=True, help="How often: 1|2.")
    def one(name: str, times: int) -> None:
        """Move one."""

    monkeypatch.setitem(commands.commands, "move", move)
    page = pages.pages()["move"]
    for text in (
        "# `dbmanager move`\n",
        "$ dbmanager move [OPTIONS] COMMAND [ARGS]...\n",
        "```text\nmove one a\nmove one b\n```\n",
        "## `dbmanager move one`\n\nMove one.\n",
        "$ dbmanager move one [OPTIONS] NAME\n",
        "| `--times INTEGER` | How often: 1\\|2. Required. |\n",
    ):
        assert text in page
    assert "| `--mode {warn,route,error}` | default: warn |" in pages.pages()["run"]
