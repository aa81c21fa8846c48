"""Settings of all tests: Hypothesis profiles, the long forms of `make soak`, a manager.

Warnings are errors through pyproject.toml.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from dbmanager import DatabaseManager

# The machine that runs the tests may be shared: an example's time says nothing.
hypothesis.settings.register_profile("fast", max_examples=50, deadline=None)
hypothesis.settings.register_profile(
    "slow",
    max_examples=2_000,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

SOAK = os.environ.get("DBMANAGER_SOAK", "0") not in {"", "0"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked `soak`, unless DBMANAGER_SOAK asks for them."""
    if SOAK:
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture
def db(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[DatabaseManager]:
    """A manager of a table with as many rows as the module's ROWS says.

    They are numbered from 1, their values from 0. Every connection must be back at the end.
    """
    db = DatabaseManager(f"sqlite:///{tmp_path}/app.db", pool_timeout=60)
    with db.session() as session:
        session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        rows = ((number,) for number in range(getattr(request.module, "ROWS", 0)))
        session.executemany("INSERT INTO t (x) VALUES (?)", rows)
    yield db
    figures = db.get_stats()
    assert (figures["pool_in_use"], figures["writers_waiting"]) == (0, 0)
    DatabaseManager.reset()
