"""Settings of all tests: Hypothesis profiles, and the long forms that `make soak` runs.

Warnings are errors through pyproject.toml.
"""

import os

import hypothesis
import pytest

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
