"""Every promise of docs/safety.md names a test that there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8").partition("## Figures")[0]

# Rows of the tables of promises, without their heads.
ROWS = [
    line
    for line in TEXT.splitlines()
    if line.startswith("|") and not line.startswith(("| Promise", "|---"))
]
PYTHON = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
RUST = re.compile(r"`(\w+)` \(Rust\)")


def rust_tests() -> set[str]:
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.rs"))
    return {name for source in sources for name in re.findall(r"#\[test\]\s+fn (\w+)", source)}


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip()[:40] for row in ROWS])
def test_promise_names_tests_that_there_are(row: str) -> None:
    python, rust = PYTHON.findall(row), RUST.findall(row)
    assert python or rust
    for file, name in python:
        source = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", source, re.MULTILINE), name
    assert set(rust) <= rust_tests()
