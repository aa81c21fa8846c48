"""What the doctor found, to read in a terminal."""

from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from dbmanager.doctor.findings import ORDER, Finding, Severity

_WIDTH = 240
_JOURNAL = {
    "wal": "WAL",
    "rollback": "rollback journal (DELETE, TRUNCATE or PERSIST: as each connection sets it)",
}
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def write(report: dict[str, Any], findings: list[Finding], to: IO[str], *, is_quiet: bool) -> None:
    """Write facts, findings and how many there are; only the findings if it is to be quiet."""
    # What is not read in a terminal has no edge.
    console = Console(file=to, width=None if to.isatty() else _WIDTH, highlight=False)
    if not is_quiet:
        _facts(report, console)
    for finding in findings:
        _finding(finding, console)
    if not is_quiet:
        counted = Counter(finding.severity for finding in findings)
        numbers = [(counted[severity], severity) for severity in ORDER]
        console.print(
            ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in numbers)
        )


def _facts(report: dict[str, Any], console: Console) -> None:
    for database in report["databases"]:
        console.print(_text(database["path"], console, "bold"))
        for name, value in _of_database(database):
            console.print(_text(f"  {name:13} {value}", console), soft_wrap=True)
        console.print()
    if report["environment"]:
        _environment(report["environment"], console)


def _of_database(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "size_bytes" in facts:
        yield "size", f"{facts['size_bytes']} bytes"
        yield "permissions", f"{facts['mode']} {facts['owner']}, on {facts['file_system'] or '?'}"
    if "page_size" in facts:
        yield from _of_content(facts)
    if "schema" in facts:
        counts = ", ".join(f"{number} {kind}" for kind, number in facts["schema"].items() if number)
        yield "schema", counts or "empty"
        yield "foreign keys", ", ".join(facts.get("tables_with_foreign_keys", ())) or "none"
    if "holders" in facts:
        yield from _holders(facts["holders"])


def _of_content(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    pages, free = facts["page_count"], facts["free_pages"]
    share = f" ({free / pages:.0%})" if pages else ""
    yield "journal mode", _JOURNAL[facts["journal_mode"]]
    yield "pages", f"{pages} of {facts['page_size']} bytes, {free} free{share}"
    if facts["wal"]:
        yield "WAL", _wal(facts["wal"])
    yield "encoding", facts["encoding"]
    yield "written by", f"SQLite {facts['written_by']}"
    names = ("user_version", "application_id", "auto_vacuum")
    yield "settings", ", ".join(f"{name} {facts[name]}" for name in names)
    if "read" in facts:
        yield "check", f"{facts['check']}, read as {facts['read']}"


def _wal(facts: dict[str, Any]) -> str:
    text = f"{facts['size_bytes']} bytes, room for {facts['room_frames']} pages"
    if "frames" in facts:
        text += f"; {facts['frames']} in use, {facts['checkpointed']} of them in the database"
    return text


def _holders(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if not found["known"]:
        yield "held by", "can't be told"
        return
    for holder in found["processes"]:
        who = f"{holder['pid'] or '?'} {holder['command']}"
        yield "held by", f"{who[:120]}: {', '.join(holder['files'])}; {_locks(holder['locks'])}"
    if not found["processes"]:
        yield "held by", "nobody" if not found["processes_not_seen"] else "nobody that can be seen"


def _locks(names: list[str]) -> str:
    return f"locks {', '.join(names)}" if names else "no lock"


def _environment(environment: dict[str, Any], console: Console) -> None:
    console.print(Text(f"SQLite in this environment (Python {environment['python']})", "bold"))
    for copy in environment["copies"]:
        console.print(_text(f"  {copy['version']:9} {copy['owner']}", console), soft_wrap=True)
    console.print()


def _finding(finding: Finding, console: Console) -> None:
    line = Text(str(finding.severity), style=_COLOURS[finding.severity])
    line.append(f" {finding.code}", style="bold")
    where = f" {finding.database}: " if finding.database else " "
    line.append_text(_text(where + finding.found, console))
    console.print(line, soft_wrap=not console.is_terminal)
    for detail in finding.details:
        _indented(detail, 6, console)
    _indented(f"→ {finding.advice}", 4, console)


def _indented(text: str, by: int, console: Console) -> None:
    if console.is_terminal:
        console.print(Padding(_text(text, console), (0, 0, 0, by)))
    else:
        console.print(_text(" " * by + text, console), soft_wrap=True)


def _text(text: str, console: Console, style: str = "default") -> Text:
    """Write what can't be written as escapes: names in a database may be any bytes."""
    printable = "".join(
        one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode()
        for one in text
    )
    return Text(
        printable.encode(console.encoding, "backslashreplace").decode(console.encoding), style
    )
