"""How the report looks: colours, contrast, narrow screens, the keyboard, and on paper."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import DESKTOP, PHONE, Chromium
from tests.browser.conftest import reported
from tests.scan.shop import write_large_shop

# The ratio of https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio for every text that is seen, with
# the colours behind it laid over each other.
CONTRASTS = """
const parsed = (colour) => {
  const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
  return [r, g, b, a];
};
const over = ([r, g, b, a], below) =>
  [r, g, b].map((part, at) => part * a + below[at] * (1 - a)).concat(1);
const behind = (element) => {
  if (!element) return [255, 255, 255, 1];
  const own = parsed(getComputedStyle(element).backgroundColor);
  return own[3] === 1 ? own : over(own, behind(element.parentElement));
};
const luminance = (colour) => {
  const [r, g, b] = colour.slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
  if (["SCRIPT", "OPTION"].includes(element.tagName)) continue;
  const below = behind(element);
  const text = over(parsed(getComputedStyle(element).color), below);
  const [dark, light] = [luminance(text), luminance(below)].sort((a, b) => a - b);
  found.push([(light + 0.05) / (dark + 0.05), element.outerHTML.slice(0, 90)]);
}
return found;
"""
SIDEWAYS = """
const { scrollWidth, clientWidth } = document.documentElement;
return scrollWidth - clientWidth;
"""
# The heads of columns whose words do not fit.
OVERLAPPING = """
return [...document.querySelectorAll("thead th")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1)
  .map((one) => one.textContent);
"""
# What is wider than the window, or has more within than it shows.
TOO_WIDE = """
const width = document.documentElement.clientWidth;
const seen = [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility());
return seen
  .filter((one) => !one.closest("thead, .skip, svg") && getComputedStyle(one).display !== "inline")
  .filter((one) => one.getBoundingClientRect().right > width + 0.5
    || (one.clientWidth && one.scrollWidth > one.clientWidth + 1 && one.tagName !== "SELECT"))
  .map((one) => one.outerHTML.slice(0, 120));
"""


def background(chromium: Chromium, selector: str) -> str:
    style = f"getComputedStyle(document.querySelector({selector!r})).backgroundColor"
    return chromium.driver.execute_script(f"return {style}")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(
    chromium: Chromium, report: Path, colours: str, size: tuple[int, int]
) -> None:
    chromium.open(report, size=size, colours=colours)
    found = chromium.driver.execute_script(CONTRASTS)
    assert len(found) > 350
    assert [one for one in found if one[0] < 4.5] == []


def test_dark_colours_are_other_ones(chromium: Chromium, report: Path) -> None:
    seen = {}
    for colours in ("light", "dark"):
        chromium.open(report, colours=colours)
        parts = ("body", ".service", "pre", ".badge.safe", "mark", "#text")
        seen[colours] = [background(chromium, part) for part in parts]
    assert all(light != dark for light, dark in zip(*seen.values(), strict=True))


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_scrolls_sideways_on_a_narrow_screen(
    chromium: Chromium, report: Path, width: int
) -> None:
    chromium.open(report, size=(width, 844))
    assert chromium.driver.execute_script(SIDEWAYS) == 0
    if width < 736:
        assert chromium.driver.execute_script(TOO_WIDE) == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_large_matrix_does_not_widen_the_page(
    chromium: Chromium, tmp_path: Path, size: tuple[int, int]
) -> None:
    write_large_shop(tmp_path, services=40, modules=2)
    chromium.open(reported(tmp_path), size=size)
    assert chromium.driver.execute_script(SIDEWAYS) == 0
    assert chromium.driver.execute_script(OVERLAPPING) == []


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(opened: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(key: str) -> Any:
        ActionChains(opened).send_keys(key).perform()
        return opened.switch_to.active_element

    skip = press(Keys.TAB)
    assert (skip.text, skip.is_displayed()) == ("Skip to the calls", True)
    press(Keys.ENTER)
    reached = []
    while (focused := press(Keys.TAB)).tag_name != "summary":
        assert focused.value_of_css_property("outline-style") != "none"
        reached.append(focused.get_attribute("id") or focused.get_attribute("value"))
        assert focused.accessible_name
    assert reached == ["text", "safe", "unsafe", "by hand", "order", "fold"]
    service = opened.find_element("id", "service-1")
    press(Keys.ENTER)
    assert service.get_attribute("open") is None
    press(Keys.SPACE)
    assert service.get_attribute("open") is not None


def test_what_is_folded_is_printed_and_the_controls_are_not(
    chromium: Chromium, opened: Any, report: Path
) -> None:
    opened.find_element("id", "fold").click()
    opened.execute_script(
        "addEventListener('beforeprint', () => {"
        " window.printed = document.querySelectorAll('.service[open] article').length })"
    )
    assert chromium.printed().startswith(b"%PDF")
    assert opened.execute_script("return window.printed") == 11
    assert opened.execute_script("return document.querySelectorAll('.service[open]').length") == 0
    chromium.open(report, medium="print", colours="dark")
    assert not opened.find_element("id", "tools").is_displayed()
    assert background(chromium, "body") == "rgb(255, 255, 255)"


def test_pictures_are_taken_to_look_at(chromium: Chromium, report: Path, tmp_path: Path) -> None:
    folder = Path(os.environ.get("DBMANAGER_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    shown = {"light": (DESKTOP, "light"), "dark": (DESKTOP, "dark"), "phone": (PHONE, "light")}
    taken = {}
    for name, (size, colours) in shown.items():
        chromium.open(report, size=size, colours=colours)
        taken[name] = chromium.picture()
        (folder / f"report-{name}.png").write_bytes(taken[name])
    assert all(picture.startswith(b"\x89PNG") for picture in taken.values())
    assert len(set(taken.values())) == len(shown)
