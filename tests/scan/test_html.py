"""The report of ``dbmanager scan`` as a page: what stands there, and that nothing breaks out."""

import base64
import hashlib
import re
from pathlib import Path

import pytest

from tests.command_line import done
from tests.scan.page import Element, page_of, read, report_of, scan, written
from tests.scan.shop import BASELINE, write, write_large_shop, write_shop


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    write_shop(tmp_path)
    return tmp_path


def rows(table: Element) -> list[list[str]]:
    return [
        [cell.text for cell in row.every() if cell.name in {"td", "th"}]
        for row in table.one("tbody").every("tr")
    ]


def table(page: Element, label: str) -> Element:
    [found] = [one for one in page.every("table") if one.attributes["aria-label"] == label]
    return found


def facts(call: Element) -> dict[str, str]:
    pairs = [
        [part.text for part in div.every() if part.name in {"dt", "dd"}]
        for div in call.one("dl").every("div")
    ]
    return dict(pairs)


def test_a_page_is_whole_html_with_unique_ids_and_links_that_lead_somewhere(shop: Path) -> None:
    text = written(shop)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    page = read(text)
    ids = [one.attributes["id"] for one in page.every() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    for link in page.every("a"):
        assert link.attributes["href"].removeprefix("#") in ids
    for section in page.every("section"):
        assert page.by_id(section.attributes["aria-labelledby"]).name == "h2"


def test_a_page_needs_nothing_besides_and_its_policy_allows_only_its_own_hashes(
    shop: Path,
) -> None:
    page = page_of(shop)
    forbidden = {"src", "srcset", "style", "action", "data", "poster"}
    for one in page.every():
        assert one.name not in {"link", "img", "iframe", "object", "embed", "base"}
        assert not forbidden & one.attributes.keys()
        assert not [name for name in one.attributes if name.startswith("on")]
    style, script = page.one("style").text, page.one("script").text
    assert not re.search(r"url\(|@import|@font-face|https?:", style + script)
    [policy] = [
        one.attributes["content"]
        for one in page.every("meta")
        if one.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    hashes = {
        f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"
        for kind, part in (("style", style), ("script", script))
    }
    others = {"default-src 'none'", "base-uri 'none'", "form-action 'none'"}
    assert set(policy.split("; ")) == hashes | others


def test_the_head_has_the_numbers_the_time_and_the_version(shop: Path) -> None:
    head = page_of(shop).one("header")
    numbers = {
        div.one("dt").text: div.one("dd").text for div in head.one("dl", "numbers").every("div")
    }
    summary = report_of(shop)["summary"]
    verdicts = {
        name: str(summary["verdicts"].get(name, 0)) for name in ("safe", "unsafe", "by hand")
    }
    assert numbers == {"calls": "11", **verdicts, "services": "4", "databases": "3"}
    assert numbers["by hand"] == "3"
    assert head.one("time").attributes["datetime"] == "2023-11-14T22:13:20Z"
    assert re.search(r"8 Python files, as of 2023-11-14 22:13 UTC, by dbmanager \d", head.text)
    bar = head.one("svg").attributes["aria-label"]
    assert bar == ("Verdicts: 73 % can be rewritten safely, 0 % on a condition, 27 % by hand only")


def test_every_call_is_there_with_its_code_and_all_that_is_known_of_it(shop: Path) -> None:
    page, report = page_of(shop), report_of(shop)
    for number, call in enumerate(report["calls"], 1):
        shown = page.by_id(f"call-{number}")
        assert shown.one("h4").one("a").text == f"{call['file']}:{call['line']}"
        assert shown.one("h4").one("span", "badge").text == call["verdict"]
        lines = [line.strip() for line in call["code"].splitlines()]
        code, *proposed = [pre.text for pre in shown.every("pre")]
        assert [line.strip() for line in code.split("\n")] == lines
        assert "".join(proposed).split() == call["proposed"].split()
        marked = "\n".join(mark.text for mark in shown.every("mark"))
        assert marked.split() == call["call"].split()
        assert shown.one("p", "why").text == (
            f"{call['rule'] or call['verdict']}: {call['reason']}"
        )
    cancel = page.by_id("call-6")
    assert cancel.one("span", "scope").text == "in the function cancel"
    assert facts(cancel) == {
        "Connection": "closed, not in a finally",
        "Database": "data/orders.db",
        "Runs": "1 write",
        "May go wrong": "a write is not committed, open after an exception",
    }
    queue = facts(page.by_id("call-4"))
    assert queue["Database"] == """f"{path}/mail-{message['day']}.db", not known from the code"""
    assert queue["Sets"] == "PRAGMA synchronous = OFF, row_factory"
    assert facts(page.by_id("call-10"))["Library"] == "aiosqlite"


def test_services_are_sections_in_order_with_the_reasons_and_the_share_at_hand(
    shop: Path,
) -> None:
    page, report = page_of(shop), report_of(shop)
    sections = list(page.every("details", "service"))
    for section, service in zip(sections, report["services"], strict=True):
        assert section.one("h3").text == f"{service['order']}. {service['name']}"
        reasons = [item.text for item in section.one("ul", "reasons").every("li")]
        assert reasons == service["reasons"]
        assert len(list(section.every("article"))) == service["calls"]
        assert "open" in section.attributes
    assert "Tests: tests/test_catalogue.py" in sections[0].text
    assert "Imported by: shop.services.orders, shop.services.reports" in sections[0].text
    services = table(page, "Services in the proposed order")
    assert rows(services)[1] == ["2", "shop.services.reports", "1 of 3 at hand", *"31021"]
    assert page.one("div", "overall").text == "8 of 11 calls at hand"


def test_progress_is_from_the_services_that_the_baseline_says_are_done(shop: Path) -> None:
    (shop / "dbmanager-baseline.toml").write_text(BASELINE)
    page = page_of(shop)
    assert page.one("div", "overall").text == "1 of 5 services done"
    services = table(page, "Services in the proposed order")
    assert rows(services)[-1] == ["", "shop.services.users", "done", *"00000"]
    (shop / "dbmanager-baseline.toml").write_text(BASELINE.replace("users", "mail"))
    page = page_of(shop)
    assert page.one("div", "overall").text == "0 of 4 services done"
    assert "marked done, but 2 calls left" in page.by_id("service-3").one("summary").text


def test_a_wrong_baseline_is_told_and_the_report_of_before_stays(shop: Path) -> None:
    (shop / "dbmanager-baseline.toml").write_text("version = 1\n\npath = []\n")
    (shop / "report.html").write_text("of before")
    ended = scan(shop, "-o", "report.html")
    assert ended.returncode == 2
    assert b"dbmanager-baseline.toml:3: 'path' is not known" in ended.stderr
    assert (shop / "report.html").read_text() == "of before"


@pytest.mark.parametrize("epoch", ["yesterday", "9" * 30])
def test_a_time_that_is_none_is_told(shop: Path, epoch: str) -> None:
    ended = scan(shop, SOURCE_DATE_EPOCH=epoch)
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert b"SOURCE_DATE_EPOCH must be a number of seconds since 1970" in ended.stderr


def test_databases_are_a_matrix_of_who_opens_what(shop: Path) -> None:
    matrix = table(page_of(shop), "Databases and the services that open them")
    heads = [head.text for head in matrix.one("thead").every("th")]
    names = ("catalogue", "reports", "mail", "orders")
    assert heads == ["database", *(f"shop.services.{name}" for name in names), "all"]
    assert rows(matrix) == [
        ["shop/data/catalogue.db", "2", "1", "", "2", "5"],
        ["data/orders.db", "", "1", "", "2", "3"],
        ["warehouse.db", "", "1", "", "", "1"],
        ["not known from the code", "", "", "2", "", "2"],
    ]


def test_what_a_search_finds_and_what_is_no_python_is_told(shop: Path) -> None:
    page, report = page_of(shop), report_of(shop)
    found = rows(table(page, "What a search by text finds, by kind"))
    assert {kind: int(count) for kind, count, _ in found} == report["hits"]
    assert all(meaning for _, _, meaning in found)
    [[place, reason, hits]] = rows(table(page, "Files that are no Python"))
    assert (place, hits) == ("shop/services/old.py:2", "2")
    assert reason == report["unparsable"][0]["reason"]


def test_the_words_on_the_page_are_explained(shop: Path) -> None:
    words = page_of(shop).one("dl", "words")
    terms = [term.text for term in words.every("dt")]
    assert terms[:2] == ["safe", "by hand"]
    assert "never closed" in terms
    assert "DBM001 pooled drop-in" in terms


def test_the_same_input_gives_the_same_page_to_a_file_and_to_any_standard_output(
    shop: Path,
) -> None:
    write(shop, {"shop/services/café.py": "import sqlite3\nsqlite3.connect('Käse.db')\n"})
    assert scan(shop, "-o", "../report.html").stdout == b""
    in_file = (shop.parent / "report.html").read_bytes()
    assert scan(shop).stdout == in_file
    assert scan(shop, PYTHONIOENCODING="latin-1").stdout == in_file
    assert "Käse.db" in read(in_file.decode("ascii")).text


def test_without_a_call_the_page_is_whole(tmp_path: Path) -> None:
    write(tmp_path, {"empty.py": "print('nothing')\n"})
    page = page_of(tmp_path)
    assert "There is no direct call." in page.text
    assert list(page.every("article")) == []


def test_a_report_of_2000_calls_is_below_3_mb(tmp_path: Path) -> None:
    count = write_large_shop(tmp_path, services=40, modules=19)
    assert count > 2000
    text = written(tmp_path)
    assert len(text) < 3_000_000
    assert len(list(read(text).every("article"))) == count


def test_calls_that_were_moved_count_as_progress(shop: Path) -> None:
    before = report_of(shop)["summary"]["calls"]
    done("migrate", ".", "--rules", "DBM001,DBM105", folder=shop)
    page, report = page_of(shop), report_of(shop)
    left = report["summary"]["calls"]
    moved = sum(service["pooled"] for service in report["services"])
    assert (moved, moved + left) == (8, before)
    assert page.one("div", "overall").text == f"8 of {before} calls moved, 0 more at hand"
    moved_whole = [one["name"] for one in report["services"] if not one["calls"]]
    shown = {row[1]: row[2] for row in rows(table(page, "Services in the proposed order"))}
    assert moved_whole
    assert {shown[name] for name in moved_whole} == {"done"}
