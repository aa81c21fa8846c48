"""The page of code that would like to be HTML: all that it holds is shown, and nothing runs."""

import copy
import io
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dbmanager.cli.formats.html import code, page
from dbmanager.cli.formats.html.markup import Markup, element, text
from dbmanager.cli.formats.html.origin import Origin
from dbmanager.cli.formats.table import HAZARDS
from tests.scan.page import Element, page_of, read, report_of, written
from tests.scan.shop import write

EVIL = "</style></script><script>alert(1)</script><img src=x onerror='alert(1)'>\"&amp;&#60;"
HOSTILE = f'''import sqlite3


def opened():
    # \u202e turned \u2066 isolated \u200f {EVIL}
    connection = sqlite3.connect(r"""{EVIL.replace('"', "")}\u202e""")  # {EVIL}

    connection.execute("PRAGMA journal_mode = \\"</pre>\\"")
    connection.close()


def שם():
    return sqlite3.connect("\\N{{LATIN SMALL LETTER A}}<b>.db")
'''
NAME = "shop/<script>alert('1')<&\"\u202e\u200f.py"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    write(tmp_path, {NAME: HOSTILE, "shop/</title>.py": f"print sqlite3.connect('{EVIL}\u202e')"})
    return tmp_path


def made(report: dict[str, Any]) -> Element:
    known = Origin(datetime(2024, 2, 29, tzinfo=UTC), "1.0", Path("/project"), None)
    return read(page.page(report, known))


def unseen_shown(content: str) -> str:
    return "".join(
        part if isinstance(part, str) else part.text for part in read(text(content)).parts
    )


def test_what_files_and_code_hold_is_text_and_no_element(hostile: Path) -> None:
    found = page_of(hostile)
    names = {one.name for one in found.every()}
    assert names & {"img", "b"} == {"b"}
    assert len(list(found.every("script"))) == len(list(found.every("style"))) == 1
    assert [one.text for one in found.every("title")] == ["SQLite calls: dbmanager scan"]
    report = report_of(hostile)
    for number, call in enumerate(report["calls"], 1):
        shown = found.by_id(f"call-{number}")
        place = unseen_shown(f"{call['file']}:{call['line']}")
        assert shown.one("h4").one("a").text == place
        written_code = next(iter(shown.every("pre")))
        assert written_code.text == unseen_shown(call["code"].strip())
    assert EVIL.replace('"', "") in found.by_id("call-1").text
    assert "שם" in found.by_id("call-2").text


def test_marks_that_turn_the_writing_are_shown_by_their_numbers(hostile: Path) -> None:
    source = written(hostile)
    assert source.isascii()
    call = read(source).by_id("call-1")
    assert "\u202e" not in read(source).text
    assert [mark.text for mark in call.one("h4").every("span", "unseen")] == ["U+202E", "U+200F"]
    written_code = next(iter(call.every("pre")))
    assert [mark.text for mark in written_code.every("span", "unseen")] == ["U+202E"]


@pytest.mark.parametrize("field", ["file", "scope", "code", "call", "database", "reason"])
@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("a\ud800b\udcff", "aU+D800bU+DCFF"),
        ("a\x00b\x1b[0m\x85", "aU+0000bU+001B[0mU+0085"),
        ("\ufffe\U0001ffff\ufdd0", "U+FFFEU+1FFFFU+FDD0"),
        ("']]><!--</article>", "']]><!--</article>"),
    ],
    ids=["surrogates", "controls", "noncharacters", "markup"],
)
def test_any_text_of_a_report_is_shown(hostile: Path, field: str, content: str, shown: str) -> None:
    report = report_of(hostile)
    call = report["calls"][0]
    call[field] = content
    assert shown in made(report).by_id("call-1").text or field == "call"


def test_the_fields_of_a_report_that_a_later_scan_adds_are_shown_or_left_alone(
    hostile: Path,
) -> None:
    report = report_of(hostile)
    first, second = report["calls"]
    first["proposed"] = second["proposed"] = ""
    assert list(made(copy.deepcopy(report)).every("pre", "proposed")) == []
    first["proposed"] = 'with dbmanager.connect("</pre>") as connection:\n    pass'
    first["later"] = 1
    second["verdict"] = "unsafe"
    report["summary"]["verdicts"] = {"safe": 1, "unsafe": 1}
    after = made(report)
    assert after.by_id("call-1").one("pre", "proposed").text == first["proposed"]
    assert after.by_id("call-2").one("span", "unsafe").text == "unsafe"
    assert "unsafe" in [term.text for term in after.one("dl", "words").every("dt")]


def test_files_that_can_not_be_read_are_told(hostile: Path) -> None:
    report = report_of(hostile)
    report["unreadable"] = [{"file": "shop/<locked>", "reason": "Permission denied"}]
    [table] = [
        one
        for one in made(report).every("table")
        if one.attributes["aria-label"] == "Files that can't be read"
    ]
    assert [
        cell.text for cell in table.one("tbody").one("tr").every() if "role" in cell.attributes
    ] == [
        "shop/<locked>",
        "Permission denied",
    ]


def test_every_word_that_a_scan_has_for_a_hazard_is_explained(hostile: Path) -> None:
    report = report_of(hostile)
    report["calls"][0]["hazards"] = list(HAZARDS)
    found = made(report)
    terms = [term.text for term in found.one("dl", "words").every("dt")]
    assert set(HAZARDS.values()) <= set(terms)
    assert ", ".join(HAZARDS.values()) in found.by_id("call-1").text


def test_a_database_is_named_from_the_folder_and_others_as_they_are() -> None:
    known = Origin(datetime(2024, 2, 29, tzinfo=UTC), "1.0", Path("/project"), None)
    assert known.shown("/project/data/a.db") == "data/a.db"
    assert known.shown("/projects/a.db") == "/projects/a.db"
    assert known.shown("a.db") == "a.db"


def test_attributes_are_escaped_as_texts_are() -> None:
    found = read(element("a", "x", data_key="\"'<&>\u202e\ud800é", hidden=True, title=False))
    assert found.one("a").attributes == {"data-key": "\"'<&>U+202EU+D800é", "hidden": ""}


# ---- code -------------------------------------------------------------------------------------


def shown(source: str, call: code.Call | None = None) -> Element:
    return read(code.coloured(source, call))


def coloured(source: str) -> list[tuple[str, str]]:
    return [(span.classes[0], span.text) for span in shown(source).every("span")]


def test_keywords_texts_numbers_and_comments_have_colours_and_f_strings_are_one_text() -> None:
    source = 'with connect(f"{a["b"]:{width}}.db", 1.5) as c:  # why'
    if sys.version_info < (3, 12):
        source = source.replace('"b"', "'b'")
    text_ = source[source.index('f"') : source.index(", 1.5")]
    expected = [("k", "with"), ("s", text_), ("n", "1.5"), ("k", "as"), ("c", "# why")]
    assert coloured(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        'x = connect("""a\n    b\n""", 1)',
        "connect(\n        a,\n    )",
        "return connect('open",
        "connect(')')))) + [",
        "connect(0777, 1_, 0b2, 1if x else y, '\\d')",
        "    else: connect(x) \\",
        "\tconnect(x)\n    y",
        "connect(\r\n  'a'\r\n)",
        "connect(x)\n\n  \nno indent",
        "€ $ ? ! \x0c",
        "",
    ],
)
def test_no_character_of_any_code_is_lost_and_none_warns(source: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = shown(source, code.Call(4, "connect(\n  x)")).text
    without = source.replace("\r\n", "\n").replace("\x0c", "U+000C")
    assert found.split() == without.split()


def test_no_character_of_this_project_is_lost() -> None:
    for path in sorted(Path(code.__file__).parents[3].rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        assert shown(source).text == unseen_shown(source.rstrip("\n")), path


def test_a_call_is_marked_within_its_lines_and_without_their_indentation() -> None:
    source = '    a = f("x"), f(\n        "y", f"{z}",\n    ), f(1)\n'
    marks = shown(source, code.Call(16, 'f(\n        "y", f"{z}",\n    )'))
    assert [mark.text for mark in marks.every("mark")] == ["f(", '"y", f"{z}",', ")"]
    assert marks.text == 'a = f("x"), f(\n    "y", f"{z}",\n), f(1)'


def test_markup_is_taken_as_it_is_and_everything_else_is_text() -> None:
    found = io.StringIO()
    found.write(element("p", "<", Markup("<i>x</i>"), ["&", [element("b", ">")]]))
    assert found.getvalue() == "<p>&lt;<i>x</i>&amp;<b>&gt;</b></p>"
