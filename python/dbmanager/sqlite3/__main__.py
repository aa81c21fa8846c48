"""A small SQL shell, as ``python -m sqlite3`` is: one statement as an argument, or a prompt."""

import sys
from argparse import ArgumentParser
from code import InteractiveConsole
from textwrap import dedent

from dbmanager import sqlite3


def _execute(source: sqlite3.Connection | sqlite3.Cursor, sql: str) -> bool:
    """Run a statement and print its rows; tell whether it went well."""
    try:
        for row in source.execute(sql):
            print(row)
    except sqlite3.Error as error:
        kind = type(error).__name__
        try:
            print(f"{kind} ({error.sqlite_errorname}): {error}", file=sys.stderr)
        except AttributeError:
            print(f"{kind}: {error}", file=sys.stderr)
        return False
    return True


class _Shell(InteractiveConsole):
    """The prompt: reads until a statement is complete, knows a few dot commands."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self._cursor = connection.cursor()

    def runsource(
        self,
        source: str,
        filename: str = "<input>",  # noqa: ARG002
        symbol: str = "single",  # noqa: ARG002
    ) -> bool:
        """Take a line (or several); True asks for more."""
        if source.startswith("."):
            self._command(source[1:].strip())
            return False
        if not source or source.isspace():
            return False
        if not sqlite3.complete_statement(source):
            return True
        _execute(self._cursor, source)
        return False

    def _command(self, name: str) -> None:
        if name == "version":
            print(sqlite3.sqlite_version)
        elif name == "help":
            print("Enter SQL code and press enter.")
        elif name == "quit":
            sys.exit(0)
        elif name:
            print(f'Error: unknown command: "{name}"', file=sys.stderr)


def main(*args: list[str]) -> None:
    """Run the shell; ``args`` stands for ``sys.argv[1:]`` when given."""
    parser = ArgumentParser(
        description="An SQL shell on dbmanager.sqlite3", prog="python -m sqlite3"
    )
    parser.add_argument(
        "filename",
        type=str,
        default=":memory:",
        nargs="?",
        help="database file, made if it is not there (without one: a database in memory)",
    )
    parser.add_argument("sql", type=str, nargs="?", help="statement to run instead of a prompt")
    parser.add_argument(
        "-v",
        "--version",
        action="version",
        version=f"SQLite version {sqlite3.sqlite_version}",
        help="tell the version of the SQLite library",
    )
    options = parser.parse_args(args[0] if args else None)
    in_memory = options.filename == ":memory:"
    name = "a transient in-memory database" if in_memory else repr(options.filename)
    end_of_file = "CTRL-Z" if sys.platform == "win32" else "CTRL-D"
    banner = dedent(f"""
        sqlite3 shell, running on SQLite version {sqlite3.sqlite_version}
        Connected to {name}

        Each command will be run using execute() on the cursor.
        Type ".help" for more information; type ".quit" or {end_of_file} to quit.
    """).strip()
    sys.ps1 = "sqlite> "
    sys.ps2 = "    ... "
    connection = sqlite3.connect(options.filename, isolation_level=None)
    try:
        if options.sql:
            if not _execute(connection, options.sql):
                sys.exit(1)
        else:
            _Shell(connection).interact(banner, exitmsg="")
    finally:
        connection.close()
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
