"""Everything that is installed here is rewritten, and Python still reads it."""

import json
import sysconfig
import warnings
from pathlib import Path

import pytest

from dbmanager import _core

ROOTS = sorted({sysconfig.get_paths()[name] for name in ("stdlib", "purelib")})
PACKAGES = ("datasette", "django", "pandas", "peewee", "sqlalchemy")


def test_packages_that_work_with_sqlite_are_there() -> None:
    purelib = Path(sysconfig.get_paths()["purelib"])
    for package in PACKAGES:
        found = [purelib / package / "__init__.py", purelib / f"{package}.py"]
        assert any(path.is_file() for path in found), package


@pytest.mark.parametrize("unsafe", [False, True])
@pytest.mark.parametrize("root", ROOTS)
def test_rewritten_copies_of_all_installed_files_compile(root: str, unsafe: bool) -> None:
    told, changes = _core._migrate(
        [root], {}, rules=set(), only=set(), with_unsafe=unsafe, databases=[]
    )
    report = json.loads(told)
    assert report["failures"] == []
    assert len({call["file"] for call in report["rewritten"]}) == len(changes) > 0
    for path, _, before, after in changes:
        with warnings.catch_warnings():
            # Escapes and the like, in the code of others.
            warnings.simplefilter("ignore")
            compile(before, path, "exec")
            compile(after, path, "exec")
