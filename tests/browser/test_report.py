"""The report in a real browser: it loads nothing, shows everything, and its controls work."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import Chromium
from tests.browser.conftest import reported
from tests.scan.shop import write, write_large_shop

CALLS = 11


def texts(driver: Any, selector: str) -> list[str]:
    """Give the texts of what is visible."""
    found = driver.find_elements("css selector", selector)
    return [one.text for one in found if one.is_displayed()]


def one(driver: Any, selector: str) -> Any:
    return driver.find_element("css selector", selector)


def wait_for(driver: Any, condition: str) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(driver, 20).until(lambda driver: driver.execute_script(f"return {condition}"))


def test_nothing_is_asked_of_a_network_and_the_console_stays_empty(
    chromium: Chromium, report: Path
) -> None:
    chromium.open(report)
    assert set(chromium.requests()) == {report.as_uri()}
    assert chromium.errors() == []


def test_sections_and_calls_are_visible(opened: Any) -> None:
    titles = ["Services", "Databases", "Calls", "Search", "Words"]
    assert texts(opened, "h2") == titles
    assert texts(opened, "nav a") == titles
    assert len(texts(opened, "article h4")) == CALLS
    assert texts(opened, ".overall p") == ["1 of 5 services done"]
    assert texts(opened, "#shown") == ["11 of 11 calls"]
    for bar in opened.find_elements("css selector", "svg"):
        assert bar.size["height"] >= 7
        assert bar.accessible_name


def test_bars_are_as_wide_as_their_shares(opened: Any) -> None:
    widths = {
        part.get_attribute("class"): part.rect["width"]
        for part in opened.find_elements("css selector", "header svg rect")
    }
    assert widths["safe"] / widths["hand"] == pytest.approx(8 / 3, abs=0.05)


def test_calls_are_filtered_by_verdict(opened: Any) -> None:
    one(opened, "input[value=safe]").click()
    assert set(texts(opened, "article .badge")) == {"by hand"}
    assert texts(opened, "#shown") == ["3 of 11 calls"]
    assert len(texts(opened, ".service")) == 2
    one(opened, "input[value='by hand']").click()
    assert texts(opened, "#shown") == ["0 of 11 calls"]
    assert texts(opened, ".service") == []


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("ORDERS.PY", 4),
        ("orders.db exception", 1),
        ("shop.services.mail", 2),
        ('f"{path}/mail', 1),
        ("nowhere", 0),
    ],
)
def test_calls_are_filtered_by_words(opened: Any, words: str, count: int) -> None:
    one(opened, "#text").send_keys(words)
    assert len(texts(opened, "article")) == count
    assert texts(opened, "#shown") == [f"{count} of 11 calls"]


def test_calls_are_put_in_order_within_their_service(opened: Any) -> None:
    from selenium.webdriver.support.select import Select

    def lines(service: int) -> list[str]:
        places = texts(opened, f"#service-{service} article h4 a")
        return [place.rpartition(":")[2] for place in places]

    assert (lines(2), lines(4)) == (["8", "12", "17"], ["10", "19", "25", "26"])
    choice = Select(one(opened, "#order"))
    choice.select_by_visible_text("database")
    assert (lines(2), lines(4)) == (["17", "12", "8"], ["25", "26", "10", "19"])
    choice.select_by_visible_text("what may go wrong")
    assert lines(4) == ["19", "25", "26", "10"]
    choice.select_by_visible_text("verdict")
    assert (lines(2), lines(3)) == (["8", "12", "17"], ["9", "13"])
    choice.select_by_visible_text("place")
    assert (lines(2), lines(4)) == (["8", "12", "17"], ["10", "19", "25", "26"])


def test_tables_are_sorted_by_their_heads(opened: Any) -> None:
    head = one(opened, ".ordered th:nth-child(4)")
    head.find_element("css selector", "button").click()
    numbers = texts(opened, ".ordered td:nth-child(4)")
    assert numbers == ["0", "2", "2", "3", "4"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.find_element("css selector", "button").click()
    assert texts(opened, ".ordered td:nth-child(4)") == numbers[::-1]
    assert head.get_attribute("aria-sort") == "descending"
    one(opened, ".matrix th button").click()
    databases = ["data/orders.db", "shop/data/catalogue.db", "not known from the code"]
    assert texts(opened, ".matrix tbody th") == [
        databases[1],
        databases[0],
        databases[2],
        "warehouse.db",
    ]


def test_services_are_folded_and_a_link_opens_what_it_leads_to(opened: Any) -> None:
    one(opened, "#fold").click()
    assert texts(opened, "article") == []
    wait_for(opened, "document.getElementById('fold').textContent === 'Unfold all'")
    one(opened, "#text").send_keys("nothing")
    opened.execute_script("location.hash = '#call-4'")
    wait_for(opened, "document.getElementById('service-3').open")
    assert len(texts(opened, "article")) == 2
    top = opened.execute_script(
        "return document.getElementById('call-4').getBoundingClientRect().top"
    )
    assert 0 <= top < 900


def test_without_a_script_every_call_is_there_and_no_control_that_would_do_nothing(
    chromium: Chromium, report: Path
) -> None:
    chromium.open(report, script=False)
    assert len(texts(chromium.driver, "article h4")) == CALLS
    assert texts(chromium.driver, "form, button, input") == []
    assert chromium.errors() == []


def test_code_that_would_like_to_run_does_not(chromium: Chromium, tmp_path: Path) -> None:
    evil = "</script></style><script>window.owned = 1</script><img src=x onerror='owned = 1'>"
    name = "shop/<script>owned=1<&script>.py"
    write(tmp_path, {name: f'import sqlite3\nsqlite3.connect("{evil}")  # {evil}\n'})
    chromium.open(reported(tmp_path))
    assert chromium.driver.execute_script("return window.owned") is None
    assert evil in texts(chromium.driver, "article pre")[0]
    assert texts(chromium.driver, "article h4 a") == [f"{name}:2"]
    assert len(chromium.requests()) == 1
    assert chromium.errors() == []


def test_a_report_of_2000_calls_opens_and_is_filtered(chromium: Chromium, tmp_path: Path) -> None:
    count = write_large_shop(tmp_path, services=40, modules=19)
    chromium.open(reported(tmp_path))
    assert texts(chromium.driver, "#shown") == [f"{count:,} of {count:,} calls"]
    took_ms = chromium.driver.execute_script(
        "return performance.getEntriesByType('navigation')[0].loadEventEnd"
    )
    assert 0 < took_ms < 10_000
    one(chromium.driver, "#text").send_keys("department_07 cancel")
    assert texts(chromium.driver, "#shown") == [f"5 of {count:,} calls"]
