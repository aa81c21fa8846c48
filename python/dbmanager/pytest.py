"""A pytest plugin (``-p dbmanager.pytest``): direct ``sqlite3.connect`` calls, leaked connections.

After each test it reports which direct calls it made, or fails it for them
(``--direct-connects=fail``), and fails it if it left connections or sessions of dbmanager open.
"""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbmanager import _core
from dbmanager._shim import switch
from dbmanager._shim.calls import DirectConnect

_REPORTED = pytest.StashKey[dict[str, list[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Describe the options."""
    group = parser.getgroup("dbmanager")
    group.addoption(
        "--direct-connects",
        choices=("report", "fail", "off"),
        default="report",
        help="what to do about tests that call sqlite3.connect directly (default: %(default)s)",
    )
    parser.addini(
        "direct_connects_ignore",
        "modules whose direct sqlite3.connect calls don't count, such as 'pandas'",
        type="linelist",
    )
    parser.addini(
        "leaked_connections",
        "whether a test fails that leaves connections of dbmanager open",
        type="bool",
        default=True,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin to listen."""
    config.stash[_REPORTED] = {}
    if config.getoption("--direct-connects") != "off":
        switch.listen(config.getini("direct_connects_ignore"))


def pytest_unconfigure() -> None:
    """End it."""
    switch.uninstall()


@pytest.fixture(autouse=True)
def _dbmanager_check(request: pytest.FixtureRequest) -> Iterator[None]:
    """Look at what a test and its fixtures left behind. It is made first, so it ends last."""
    config = request.config
    calls, leases = _counted(), _leases()
    yield
    places = [_place(call) for call in switch.direct_connects() if _is_new(call, calls)]
    if places and config.getoption("--direct-connects") == "fail":
        pytest.fail("direct sqlite3.connect calls:\n" + "\n".join(places), pytrace=False)
    if places:
        config.stash[_REPORTED][request.node.nodeid] = places
    if config.getini("leaked_connections") and (left := _left_open(leases)):
        pytest.fail(
            "connections of dbmanager that were left open: " + ", ".join(left), pytrace=False
        )


def pytest_terminal_summary(
    terminalreporter: "pytest.TerminalReporter", config: pytest.Config
) -> None:
    """List the tests that made direct calls."""
    reported = config.stash[_REPORTED]
    if not reported:
        return
    terminalreporter.section("direct sqlite3.connect calls")
    for test, places in reported.items():
        terminalreporter.write_line(test)
        for place in places:
            terminalreporter.write_line(f"    {place}")


def _counted() -> dict[tuple[str, int, str, str], int]:
    return {call.key: call.count for call in switch.direct_connects()}


def _is_new(call: DirectConnect, before: dict[tuple[str, int, str, str], int]) -> bool:
    return call.outcome != "ignored" and call.count > before.get(call.key, 0)


def _place(call: DirectConnect) -> str:
    return f"{call.file}:{call.line} {call.database}"


def _leases() -> dict[Path, int]:
    leases: dict[Path, int] = {}
    for path, count in _core._leases():
        leases[path] = leases.get(path, 0) + count
    return leases


def _left_open(before: dict[Path, int]) -> list[str]:
    """Tell which files have more connections open than before, once garbage is collected."""
    if not _more(before):
        return []
    gc.collect()
    return [f"{count} to {path}" for path, count in _more(before).items()]


def _more(before: dict[Path, int]) -> dict[Path, int]:
    now = _leases().items()
    return {path: count - before.get(path, 0) for path, count in now if count > before.get(path, 0)}
