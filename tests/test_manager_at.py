"""`DatabaseManager.at`: the manager of a path, as `sqlite3.connect` takes it."""

import os
import sqlite3
from pathlib import Path

import pytest

from dbmanager import DatabaseManager


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    yield
    DatabaseManager.reset()


def test_one_file_has_one_manager_whatever_its_spelling(tmp_path: Path) -> None:
    manager = DatabaseManager.at("a.db")
    assert manager is DatabaseManager.at(tmp_path / "a.db")
    assert manager is DatabaseManager.at(b"./a.db")
    assert manager is DatabaseManager("sqlite:///a.db")


def test_nothing_in_a_path_is_an_option_or_a_url(tmp_path: Path) -> None:
    for name in ("a?mode=ro.db", "a%20b#c.db", "file:a.db?mode=memory", "sqlite:///x"):
        path = tmp_path / name
        if name.startswith("sqlite"):
            path.parent.mkdir(parents=True)
        with DatabaseManager.at(path).session() as session:
            session.execute("CREATE TABLE t (a)")
        assert path.is_file()


def test_a_relative_path_means_what_it_means_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    here = DatabaseManager.at("a.db")
    monkeypatch.chdir("sub")
    assert DatabaseManager.at("a.db") is not here
    assert DatabaseManager.at("../a.db") is here


def test_a_link_that_points_elsewhere_is_followed_anew(tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        sqlite3.connect(tmp_path / name).close()
    link = tmp_path / "link.db"
    link.symlink_to("a.db")
    assert DatabaseManager.at(link) is DatabaseManager.at("a.db")
    link.unlink()
    link.symlink_to("b.db")
    assert DatabaseManager.at(link) is DatabaseManager.at("b.db")


@pytest.mark.parametrize("path", [":memory:", "", b":memory:"])
def test_each_database_in_memory_is_of_its_own(path: str | bytes) -> None:
    with DatabaseManager.at(path).session() as session:
        session.execute("CREATE TABLE t (a)")
    with DatabaseManager.at(path).session() as session:
        assert session.scalar("SELECT count(*) FROM sqlite_schema") == 0
    assert os.listdir() == []


def test_settings_of_the_manager_there_is_stay() -> None:
    manager = DatabaseManager("sqlite:///a.db", pool_size=3)
    assert DatabaseManager.at("a.db") is manager


def test_wrong_paths_are_refused_as_by_connect() -> None:
    for path, error in [(1, TypeError), (None, TypeError), ("a\0b", ValueError)]:
        with pytest.raises(error):
            DatabaseManager.at(path)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        with DatabaseManager.at("missing/a.db").session():
            pass
