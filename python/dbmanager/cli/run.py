"""``dbmanager run``: a program with the shim installed, its code untouched."""

import argparse
import importlib.util
import os
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dbmanager._shim import switch

if TYPE_CHECKING:
    # Private to argparse, and so is its subscript at run time.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

MODES = ("warn", "route", "error")


def add_to(commands: "Commands") -> None:
    """Describe the command to the parser of the command line."""
    parser = commands.add_parser(
        "run",
        help="run a program with direct sqlite3.connect() calls shown, routed or refused",
        description="Run a program, its code untouched, and see every direct sqlite3.connect() "
        "call: where it is, which database it opens, what to write instead. Python processes that "
        "the program starts are seen as well.",
    )
    parser.add_argument("--mode", choices=MODES, default="warn", help="default: %(default)s")
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="PATTERN",
        help="modules whose calls are only counted, such as 'pandas'; may be given several times",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="add the inventory of calls to this JSON file"
    )
    parser.add_argument(
        "-m", dest="is_module", action="store_true", help="run a module, not a file"
    )
    parser.add_argument("program", help="the program: a file, or with -m the name of a module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the program that the options name."""
    os.environ["DBMANAGER_MODE"] = options.mode
    os.environ["DBMANAGER_IGNORE"] = ",".join(options.ignore)
    if options.report is not None:
        os.environ["DBMANAGER_REPORT"] = str(options.report.absolute())
    switch.install(options.mode, ignore=options.ignore, report=options.report)
    sys.argv = [options.program, *options.arguments]
    if options.is_module:
        sys.path.insert(0, str(Path.cwd()))
        missing = _missing_part(options.program)
        if missing is not None:
            sys.stderr.write(f"dbmanager run: there is no module {missing!r}\n")
            return 2
        runpy.run_module(options.program, run_name="__main__", alter_sys=True)
        return 0
    if not Path(options.program).exists():
        sys.stderr.write(f"dbmanager run: there is no file {options.program!r}\n")
        return 2
    sys.path.insert(0, str(Path(options.program).resolve().parent))
    runpy.run_path(options.program, run_name="__main__")
    return 0


def _missing_part(module: str) -> str | None:
    """Give what is not there of a module's dotted name; None when all is."""
    try:
        return module if importlib.util.find_spec(module) is None else None
    except ModuleNotFoundError as error:
        # A package on the way; not what such a package fails to import.
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            return error.name
        raise
