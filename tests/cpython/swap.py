"""Put another module in the place of `sqlite3`, at the start of an interpreter.

`install` copies this file, beside a `.pth` file that imports it, into the
site-packages of the running environment: so interpreters that the tests spawn are
swapped as well, `-I` and `-E` included, which a PYTHON* variable would not reach.
Without the variable DBMANAGER_SWAP both files do nothing.

Stands alone: it runs while `site` does, in interpreters that know nothing of this
repository.
"""

import importlib
import os
import sys

VARIABLE = "DBMANAGER_SWAP"
MODULE_NAME = "_dbmanager_swap"
# `site` reads .pth files in the order of their names: this one comes after those
# that make an editable `dbmanager` importable.
PTH_NAME = "zz_dbmanager_swap.pth"
PTH_LINE = f"import os; os.environ.get({VARIABLE!r}) and __import__({MODULE_NAME!r}).start()\n"
FAILED_STATUS = 70


def swap(name: str) -> None:
    """Make `import sqlite3`, its submodules and `_sqlite3` give the module `name`.

    The module is imported first, while `sqlite3` is still the stdlib's: it takes
    its exception classes from there.
    """
    package = importlib.import_module(name)
    dbapi2 = importlib.import_module(f"{name}.dbapi2")
    dump = importlib.import_module(f"{name}.dump")
    for module in [m for m in sys.modules if m.startswith("sqlite3.")]:
        del sys.modules[module]
    # Other submodules (`__main__`) are found through the package's own path.
    sys.modules["sqlite3"] = package
    sys.modules["sqlite3.dbapi2"] = dbapi2
    sys.modules["sqlite3.dump"] = dump
    sys.modules["_sqlite3"] = dbapi2


def start() -> None:
    """Swap as DBMANAGER_SWAP says, or end the interpreter.

    `site` only prints an exception of a .pth file and goes on, and the tests would
    then pass on the stdlib's module.
    """
    name = os.environ[VARIABLE]
    try:
        swap(name)
    except BaseException:  # noqa: BLE001 - whatever it is, the interpreter must end
        import traceback

        traceback.print_exc()
        print(f"{VARIABLE}: {name} could not take the place of sqlite3", file=sys.stderr)
        sys.stderr.flush()
        os._exit(FAILED_STATUS)


def install() -> None:
    """Write the two files into this environment's site-packages.

    Raises:
        RuntimeError: The interpreter is not one of a virtual environment.
    """
    import sysconfig
    from pathlib import Path

    if sys.prefix == sys.base_prefix:
        raise RuntimeError(
            f"{sys.executable} is not in a virtual environment: the suite adds a .pth file "
            "to site-packages; run it with the Python of .venv"
        )
    site_packages = Path(sysconfig.get_path("purelib"))
    source = Path(__file__).read_text(encoding="utf-8")
    for name, text in ((f"{MODULE_NAME}.py", source), (PTH_NAME, PTH_LINE)):
        _write_if_changed(site_packages / name, text)


def _write_if_changed(path, text):
    """Replace a file in one step, since another run may be reading it."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
