"""What the documentation shows must run: README.md, docs/*.md, and the docstrings."""

import doctest
import io
import subprocess
import sys
from pathlib import Path

import pytest

from .docstrings import read_examples
from .markdown import read_blocks

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGE = ROOT / "python" / "dbmanager"
SOURCES = sorted([*PACKAGE.rglob("*.pyi"), *PACKAGE.rglob("*.py")])
DOCSTRINGS = [
    example
    for source in SOURCES
    for example in read_examples(source, str(source.relative_to(PACKAGE)))
]


def relative(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_examples_of_document_run(document, tmp_path):
    runner = Path(__file__).with_name("markdown.py")
    result = subprocess.run(
        [sys.executable, "-W", "error", str(runner), str(document)],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"


def test_readme_has_examples_that_run():
    blocks = read_blocks((ROOT / "README.md").read_text(encoding="utf-8"), "README.md")
    assert [block for block in blocks if block.runs]


def test_stub_has_examples():
    assert [example for example in DOCSTRINGS if example.name.startswith("_core.pyi")]


@pytest.mark.parametrize("example", DOCSTRINGS, ids=lambda example: example.name)
def test_example_of_docstring_runs(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(example, out=report.write)
    assert runner.summarize(verbose=False).failed == 0, report.getvalue()
