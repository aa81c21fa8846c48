"""A pytest plugin (``-p dbmanager.pytest``): direct ``sqlite3.connect`` calls, leaked connections.

After each test it reports which direct calls the test and its fixtures of any scope made, or fails
it for them (``--direct-connects=fail``); likewise modules that connect when they are imported. A
test that leaves connections or sessions of dbmanager open fails, and so does the last one if a
fixture of a wider scope does. With pytest-xdist, too.
"""

import gc
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from dbmanager import _core
from dbmanager._shim import switch

# Refused and routed calls went where they should; ignored ones are others'.
_DIRECT = {"warned", "not routed"}
# A test's report brings them from the process that ran it.
_PROPERTY = "direct_connects"


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
    if config.getoption("--direct-connects") != "off":
        switch.count(config.getini("direct_connects_ignore"))
    config.pluginmanager.register(_Checks(config), "dbmanager-checks")


def pytest_unconfigure() -> None:
    """End it."""
    switch.count_no_more()


class _Checks:
    """What was seen in this process, and what the processes of tests told."""

    def __init__(self, config: pytest.Config) -> None:
        self._fails = config.getoption("--direct-connects") == "fail"
        self._looks_for_leaks = config.getini("leaked_connections")
        self._counts = _counts()
        self._at_import: dict[str, list[str]] = {}
        # Connections that were open when it began, and those of which a failure has told.
        self._told = _leases()
        self._reported: dict[str, list[str]] = {}

    def _new_places(self) -> list[str]:
        """Give the places of direct calls since it was asked last."""
        before, self._counts = self._counts, _counts()
        return [
            f"{call.file}:{call.line} {call.database}"
            for call in switch.direct_connects()
            if call.outcome in _DIRECT and call.count > before.get(call.key, 0)
        ]

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Look at what modules do when they are imported."""
        report = yield
        places = self._new_places()
        if places and self._fails:
            report.outcome = "failed"
            report.longrepr = _message(places)
        elif places:
            self._at_import.setdefault(collector.nodeid, []).extend(places)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Look at what a test and its fixtures did, once they ended."""
        try:
            result = yield
        finally:
            # Also if that failed: the next test has nothing to do with it.
            seen, self._at_import = self._at_import, {}
            places = self._new_places()
            if places:
                seen[item.nodeid] = places
            if seen:
                item.user_properties.append((_PROPERTY, seen))
        if places and self._fails:
            pytest.fail(_message(places), pytrace=False)
        if nextitem is None and self._looks_for_leaks:
            self._fail_for(self._told)
        return result

    @pytest.fixture(autouse=True)
    def _dbmanager_leaks(self) -> Iterator[None]:
        """Look at what a test left open. It is made before its other fixtures, so it ends last."""
        before = _leases()
        yield
        if self._looks_for_leaks:
            self._fail_for(before)

    def _fail_for(self, before: dict[Path, int]) -> None:
        left = _left_open(before)
        if not left:
            return
        for path, count in left.items():
            self._told[path] = self._told.get(path, 0) + count
        words = ", ".join(f"{count} to {path}" for path, count in left.items())
        pytest.fail(f"connections of dbmanager that were left open: {words}", pytrace=False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test's process tells."""
        if report.when == "teardown":
            for name, seen in report.user_properties:
                if name == _PROPERTY:
                    self._reported.update(seen)  # type: ignore[call-overload]

    def pytest_terminal_summary(self, terminalreporter: "pytest.TerminalReporter") -> None:
        """List the tests, and the modules, that made direct calls."""
        reported = {**self._at_import, **self._reported}
        if not reported:
            return
        terminalreporter.section("direct sqlite3.connect calls")
        for test, places in reported.items():
            terminalreporter.write_line(test)
            for place in places:
                terminalreporter.write_line(f"    {place}")


def _message(places: list[str]) -> str:
    return "direct sqlite3.connect calls:\n" + "\n".join(places)


def _counts() -> dict[tuple[str, int, str, str], int]:
    return {call.key: call.count for call in switch.direct_connects()}


def _leases() -> dict[Path, int]:
    leases: dict[Path, int] = {}
    for path, count in _core._leases():
        leases[path] = leases.get(path, 0) + count
    return leases


def _left_open(before: dict[Path, int]) -> dict[Path, int]:
    """Give how many more connections files have open than before, once garbage is collected."""
    if not _more(before):
        return {}
    gc.collect()
    return _more(before)


def _more(before: dict[Path, int]) -> dict[Path, int]:
    now = _leases().items()
    return {path: count - before.get(path, 0) for path, count in now if count > before.get(path, 0)}
