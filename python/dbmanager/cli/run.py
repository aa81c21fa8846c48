"""``dbmanager run``: a program with the shim installed, its code untouched."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dbmanager._shim import switch
from dbmanager.cli import program

MODES = ("warn", "route", "error")


def main(arguments: Sequence[str]) -> int:
    """Run a program; give the exit code of the process."""
    options = parser().parse_args(arguments)
    return _run(options)


def parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = argparse.ArgumentParser(
        prog="dbmanager run",
        description="Run a program, its code untouched, and see every direct sqlite3.connect() "
        "call: where it is, which database it opens, what to write instead. Python processes that "
        "the program starts are seen as well.",
        usage="dbmanager run [-h] [--mode {warn,route,error}] [--ignore PATTERN] [--report FILE] "
        "(FILE | -m MODULE | -) ...",
        epilog="Examples: `dbmanager run app.py --port 80` warns of direct calls; `dbmanager run "
        "--report calls.json -m services.worker` keeps an inventory of them; `dbmanager run --mode "
        "route app.py` has them use the pool.",
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
    parser.add_argument(
        "program",
        # In one with its arguments: a "--" among these is the program's.
        nargs=argparse.REMAINDER,
        help="the program: a file, a folder or an archive with a __main__.py, - for what is read "
        "from standard input, or with -m the name of a module; and its arguments",
    )
    parser.set_defaults(parser=parser)
    return parser


def _run(options: argparse.Namespace) -> int:
    if not options.program:
        options.parser.error("which program? Name a file, or a module with -m")
    name, *arguments = options.program
    if not options.is_module and name != program.STDIN and not Path(name).exists():
        sys.stderr.write(f"dbmanager run: there is no file {name!r}\n")
        return 2
    _install(options)
    (program.run_module if options.is_module else program.run_file)(name, arguments)
    return 0


def _install(options: argparse.Namespace) -> None:
    """Install the shim here, and in the processes that the program starts."""
    os.environ["DBMANAGER_MODE"] = options.mode
    os.environ["DBMANAGER_IGNORE"] = ",".join(options.ignore)
    if options.report is not None:
        os.environ["DBMANAGER_REPORT"] = str(options.report.absolute())
    switch.install(options.mode, ignore=options.ignore, report=options.report)
