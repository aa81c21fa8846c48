"""All files of a step are written, or none; and what is interrupted can be taken back."""

import subprocess
import sys
from pathlib import Path

import pytest

from dbmanager.cli.files import journal
from dbmanager.cli.files.replacing import Change, ReplacingError, replace
from tests.command_line import dbmanager, done


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.py" for name in "abc"]
    for path in paths:
        path.write_text(f"# {path.stem}\n")
    return paths


def changes(files: list[Path]) -> list[Change]:
    return [Change(path, path.read_bytes(), b"new\n") for path in files]


def test_nothing_is_written_if_a_file_is_not_as_it_was_read(files: list[Path]) -> None:
    wanted = changes(files)
    files[2].write_text("other\n")
    with pytest.raises(ReplacingError, match="it has changed since it was read") as caught:
        replace(wanted)
    assert caught.value.is_undone
    assert [path.read_text() for path in files] == ["# a\n", "# b\n", "other\n"]
    assert len(list(files[0].parent.iterdir())) == 3


def test_nothing_is_written_if_a_file_is_gone(files: list[Path]) -> None:
    wanted = changes(files)
    files[1].unlink()
    with pytest.raises(ReplacingError, match=r"b\.py: No such file"):
        replace(wanted)
    assert files[0].read_text() == "# a\n"


@pytest.mark.parametrize("is_linked", [False, True])
def test_what_was_written_is_taken_back_if_a_later_file_fails(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, is_linked: bool
) -> None:
    if is_linked:
        files[0].with_name("link").hardlink_to(files[0])
    wanted = changes(files)
    original = Path.replace

    def failing(path: Path, target: Path) -> Path:
        if target == files[2] and b"new" in path.read_bytes():
            raise OSError(28, "No space left on device")
        return original(path, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(ReplacingError, match=r"c\.py: No space left on device") as caught:
        replace(wanted)
    assert caught.value.is_undone
    assert [path.read_text() for path in files] == ["# a\n", "# b\n", "# c\n"]
    assert len(list(files[0].parent.iterdir())) == 3 + is_linked


KILLED = """
import os, sys
from pathlib import Path
from dbmanager.cli import commands
replace, count = Path.replace, []
def dying(path, target):
    if str(target).endswith(".py"):
        count.append(target)
        if len(count) == 2:
            os.kill(os.getpid(), 9)
    return replace(path, target)
Path.replace = dying
commands.main(["migrate", "."])
"""


def test_a_migration_that_was_killed_is_taken_back_and_none_goes_before(tmp_path: Path) -> None:
    text = "import sqlite3\nsqlite3.connect('x')\n"
    names = ["a.py", "b.py", "c.py"]
    for name in names:
        (tmp_path / name).write_text(text)
    ended = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=tmp_path, capture_output=True, check=False, timeout=60
    )
    assert ended.returncode == -9, ended.stderr
    assert sum((tmp_path / name).read_text() != text for name in names) == 1
    refused = dbmanager("migrate", ".", folder=tmp_path)
    assert refused.returncode == 1
    assert "was interrupted: `dbmanager undo` first" in refused.stderr
    assert "(interrupted)" in done("undo", "--list", folder=tmp_path)
    done("undo", folder=tmp_path)
    assert [(tmp_path / name).read_text() for name in names] == [text] * 3
    done("migrate", ".", folder=tmp_path)


INTERRUPTED = """
import os, signal
from pathlib import Path
from dbmanager.cli import commands
signal.signal(signal.SIGINT, signal.default_int_handler)
replace, done = Path.replace, []
def interrupting(path, target):
    replaced = replace(path, target)
    done.append(Path(target).name)
    if done[-1] == {name!r} and done.count({name!r}) == 1:
        os.kill(os.getpid(), signal.SIGINT)
    return replaced
Path.replace = interrupting
commands.main({command!r})
"""


@pytest.mark.parametrize("name", ["manifest.json", "a.py", "b.py", "c.py"])
def test_a_migration_that_is_interrupted_has_written_nothing(tmp_path: Path, name: str) -> None:
    text = "import sqlite3\nsqlite3.connect('x')\n"
    files = [tmp_path / file for file in ("a.py", "b.py", "c.py")]
    for file in files:
        file.write_text(text)
    ended = interrupted(tmp_path, name, "migrate", ".")
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "dbmanager: interrupted\n"
    assert [file.read_text() for file in files] == [text] * 3
    assert list((tmp_path / ".dbmanager" / "migrations").iterdir()) == []
    done("migrate", ".", folder=tmp_path)


@pytest.mark.parametrize("name", ["a.py", "c.py"])
def test_an_undo_that_is_interrupted_has_taken_nothing_back(tmp_path: Path, name: str) -> None:
    files = [tmp_path / file for file in ("a.py", "b.py", "c.py")]
    for file in files:
        file.write_text("import sqlite3\nsqlite3.connect('x')\n")
    done("migrate", ".", folder=tmp_path)
    migrated = [file.read_text() for file in files]
    ended = interrupted(tmp_path, name, "undo")
    assert (ended.returncode, ended.stdout) == (130, "")
    assert [file.read_text() for file in files] == migrated
    done("undo", folder=tmp_path)


def interrupted(folder: Path, name: str, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command that is interrupted when it has put a file of that name in its place."""
    code = INTERRUPTED.format(name=name, command=list(command))
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import sqlite3\nsqlite3.connect('x')\n")
    done("migrate", ".", folder=tmp_path)
    [run] = journal.runs(tmp_path)
    (run.folder / "0000").write_text("other")
    assert "0000 is damaged" in dbmanager("undo", folder=tmp_path).stderr
    (run.folder / "manifest.json").write_text("{")
    assert "can't be read" in dbmanager("undo", folder=tmp_path).stderr
