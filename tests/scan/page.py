"""The command's page as a tree, read strictly: what is closed wrongly is an error."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

EPOCH = "1700000000"
VOID = {"meta", "input", "br", "hr", "img", "link", "wbr"}


@dataclass
class Element:
    name: str
    attributes: dict[str, str]
    parts: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()

    def every(self, name: str = "", class_: str = "") -> Iterator["Element"]:
        """Give all elements within, in their order, of a name and a class if these are given."""
        for part in self.parts:
            if isinstance(part, Element):
                if name in {"", part.name} and (not class_ or class_ in part.classes):
                    yield part
                yield from part.every(name, class_)

    def one(self, name: str = "", class_: str = "") -> "Element":
        [found] = self.every(name, class_)
        return found

    def by_id(self, id_: str) -> "Element":
        [found] = [part for part in self.every() if part.attributes.get("id") == id_]
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].parts.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        closed = self.open.pop()
        assert closed.name == tag, (closed, tag)

    def handle_data(self, data: str) -> None:
        self.open[-1].parts.append(data)


def read(text: str) -> Element:
    """Read a page."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == [reader.root]
    return reader.root


def scan(
    folder: Path, *arguments: str, form: str = "html", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "dbmanager", "scan", ".", "--format", form, *arguments],
        cwd=folder,
        capture_output=True,
        timeout=60,
        env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH, **environment},
    )


def written(folder: Path, **environment: str) -> str:
    ended = scan(folder, **environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.decode("ascii")


def page_of(folder: Path) -> Element:
    return read(written(folder))


def report_of(folder: Path) -> Any:
    return json.loads(scan(folder, form="json").stdout)
