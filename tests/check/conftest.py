"""A project to check, and the command on it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dbmanager.cli.commands import commands

SHOP = """
import sqlite3

DB = "shop.db"


def add(name):
    connection = sqlite3.connect(DB, timeout=10)
    connection.close()


class Store:
    def open(self):
        self.one = sqlite3.connect(DB)
        self.two = sqlite3.connect(DB)
"""
BILLING = """from sqlite3 import connect


def bill():
    return connect("bills.db")
"""
FILES = {
    "app/__init__.py": "",
    "app/services/__init__.py": "",
    "app/services/shop.py": SHOP,
    "app/services/billing.py": BILLING,
}


@dataclass
class Project:
    folder: Path

    @property
    def baseline(self) -> Path:
        return self.folder / "dbmanager-baseline.toml"

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def check(self, *arguments: object) -> Result:
        result = CliRunner().invoke(commands, ["check", *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result

    def findings(self, *arguments: object) -> list[dict[str, Any]]:
        result = self.check(*arguments, "--json")
        found: list[dict[str, Any]] = json.loads(result.stdout)["findings"]
        assert result.exit_code == (1 if found else 0)
        return found

    def run(self, program: str, arguments: Sequence[str] = ()) -> Path:
        """Run a program with the shim; give the inventory."""
        report = self.folder / "dbmanager-inventory.json"
        subprocess.run(
            [sys.executable, "-W", "ignore", program, *arguments],
            cwd=self.folder,
            check=True,
            timeout=60,
            env={**os.environ, "DBMANAGER_MODE": "warn", "DBMANAGER_REPORT": str(report)},
        )
        return report


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path)
    for name, text in FILES.items():
        project.write(name, text)
    monkeypatch.chdir(tmp_path)
    return project


@pytest.fixture
def allowed(project: Project) -> Project:
    """A project whose baseline allows all that is there."""
    assert project.check("--update", "app").exit_code == 0
    return project
