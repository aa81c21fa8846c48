"""Every test here leaves no file open."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.programs import close_pools
from tests.open_files import open_files


@pytest.fixture(autouse=True)
def nothing_is_left_open(tmp_path: Path) -> Iterator[None]:
    yield
    close_pools()
    assert open_files(tmp_path) == []
