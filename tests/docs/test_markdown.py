"""The reader of Markdown examples must miss none and blame the right line."""

import subprocess
import sys

import pytest

from . import markdown
from .markdown import Block, read_blocks


def test_python_blocks_are_found_with_their_lines():
    text = (
        "# Title\n\n```python\na = 1\n```\n\n```console\n$ ls\n```\n"
        "- item\n\n  ~~~python\n  b = 2\n  ~~~\n"
    )
    assert read_blocks(text, "x.md") == [Block("a = 1\n", 4, True), Block("b = 2\n", 13, True)]


def test_fence_inside_a_longer_fence_is_text():
    assert read_blocks("````text\n```python\na = 1\n```\n````\n", "x.md") == []


def test_block_marked_no_run_does_not_run():
    text = "<!-- no-run: needs a server -->\n\n```python\nx\n```\n\n```python\ny\n```\n"
    assert [block.runs for block in read_blocks(text, "x.md")] == [False, True]


def test_no_run_without_a_reason_is_refused():
    with pytest.raises(ValueError, match=r"x\.md:2: write the reason"):
        read_blocks("<!-- no-run -->\n```python\nx\n```\n", "x.md")


def test_block_that_is_not_closed_is_refused():
    with pytest.raises(ValueError, match=r"x\.md:1: the block is not closed"):
        read_blocks("```python\nx\n", "x.md")


def run_document(folder, text):
    document = folder / "x.md"
    document.write_text(text, encoding="utf-8")
    command = [sys.executable, "-W", "error", markdown.__file__, str(document)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_blocks_of_a_document_share_a_namespace(tmp_path):
    text = "```python\na = 1\n```\n```python\nif __name__ == '__main__':\n    print(a)\n```\n"
    result = run_document(tmp_path, text)
    assert (result.stdout, result.stderr, result.returncode) == ("1\n", "", 0)


def test_failing_block_is_named_with_its_line(tmp_path):
    result = run_document(tmp_path, "# Title\n\n```python\na = 1\nb = a / 0\n```\n")
    assert result.returncode == 1
    assert 'x.md", line 5' in result.stderr


def test_resource_left_open_fails_the_document(tmp_path):
    result = run_document(tmp_path, "```python\nf = open('left_open', 'w')\n```\n")
    assert result.returncode == 1
    assert "ResourceWarning" in result.stderr
