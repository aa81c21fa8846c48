"""A headless Chromium of its own, and reports to open in it.

`make test-browser` runs these tests. Elsewhere they are skipped if selenium is not installed.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import Chromium
from tests.scan.page import scan
from tests.scan.shop import BASELINE, write_shop


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    reason = "selenium is not installed: `make test-browser` installs it and runs these tests"
    pytest.importorskip("selenium", reason=reason)
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if missing := [name for name, path in programs.items() if path is None]:
        pytest.skip(f"not installed: {', '.join(missing)} (Debian: chromium, chromium-driver)")
    browser = Chromium(**programs, profile=tmp_path_factory.mktemp("profile"))
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of the shop, one of whose services is done."""
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    (folder / "dbmanager-baseline.toml").write_text(BASELINE)
    return reported(folder)


def reported(folder: Path) -> Path:
    ended = scan(folder, "-o", "report.html")
    assert ended.returncode == 0, ended.stderr
    return folder / "report.html"


@pytest.fixture
def opened(chromium: Chromium, report: Path) -> Iterator[Any]:
    """The driver with the page open, at the width of a desktop and in light colours."""
    chromium.open(report)
    yield chromium.driver
    assert chromium.errors() == []
