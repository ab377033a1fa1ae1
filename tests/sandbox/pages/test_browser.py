"""The pages in a real browser: no complaint in its console, nothing to scroll sideways on a phone, alive while watched."""

from collections.abc import Iterator

import pytest

from sandbox.cloud import Cloud
from sandbox.pages.site import page
from tests.sandbox.pages.chromium import EXECUTABLE, Chromium
from tests.sandbox.pages.test_data import exchange
from tests.sandbox.pages.world import BAD, DONE, ENTITY, LIVE, PROJECT, page_world, scenario

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(EXECUTABLE is None, reason="needs Chromium: apt-get install chromium"),
]
RUN = f"/runs/{ENTITY}/{PROJECT}/"
_CUT_OFF = """
[...document.querySelectorAll("main *")]
  .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1 && !e.closest("svg, thead"))
  .filter((e) => getComputedStyle(e).overflowX === "visible" && getComputedStyle(e).display !== "inline")
  .map((e) => e.outerHTML.slice(0, 120))
"""
_ARRIVES = """
new Promise((done) => {
  const look = () => document.body.innerText.includes("new-tag") && done(true);
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  look();
})
"""
# Every element with words of its own whose colour is too near to the first opaque ground behind it.
_PALE = """
[...document.querySelectorAll("body *")]
  .filter((e) => e.getClientRects().length && !e.closest("script, style, title, desc"))
  .filter((e) => [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim()))
  .map((e) => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
    const opaque = (c) => c.length === 3 || c[3] === 1;
    let behind = e;
    while (behind.parentElement && !opaque(parts(getComputedStyle(behind).backgroundColor))) behind = behind.parentElement;
    const style = getComputedStyle(e);
    const word = light(parts(e.closest("svg") ? style.fill : style.color));
    const ground = light(parts(getComputedStyle(behind).backgroundColor));
    return [Math.max(word, ground) / Math.min(word, ground), e.outerHTML.slice(0, 120)];
  })
  .filter(([contrast]) => contrast < 4.5)
"""
PATHS = ["/", RUN + DONE, RUN + BAD]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud(scenario(), page=page) as running:
        running.world = page_world()
        for status in (200, 401, 404):
            running.world.trace.add(exchange(status))
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as running:
        yield running


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 760, 390, 320])
@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_wider_than_the_screen_and_the_console_is_empty(
    cloud: Cloud, browser: Chromium, path: str, width: int, *, dark: bool
) -> None:
    browser.open(cloud.url + path, width=width, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(_CUT_OFF) == []
    assert browser.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_colours_follow_the_persons_scheme(cloud: Cloud, browser: Chromium, *, dark: bool) -> None:
    browser.open(f"{cloud.url}/", dark=dark)
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 3 * 128) is dark


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_every_word_has_the_contrast_of_wcag_aa_to_what_is_behind_it(
    cloud: Cloud, browser: Chromium, path: str, *, dark: bool
) -> None:
    browser.open(cloud.url + path, dark=dark)
    assert browser.evaluate(_PALE) == []
    browser.evaluate("document.querySelector('h1').style.color = getComputedStyle(document.body).backgroundColor")
    assert len(browser.evaluate(_PALE)) == 1, "it would be noticed"


def test_text_in_charts_stays_readable_on_a_phone(cloud: Cloud, browser: Chromium) -> None:
    for path in ("/", RUN + DONE):
        browser.open(cloud.url + path, width=390)
        heights = browser.evaluate(
            "[...document.querySelectorAll('figure svg text')].map(t => parseFloat(getComputedStyle(t).fontSize)"
            " * t.getScreenCTM().a)"
        )
        assert min(heights) >= 9.5


def test_every_way_to_act_is_reached_by_keyboard_and_seen_when_it_is(cloud: Cloud, browser: Chromium) -> None:
    browser.open(f"{cloud.url}/")
    browser.send("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert browser.evaluate("document.activeElement.className") == "skip"
    assert browser.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_the_page_follows_the_world_and_keeps_what_is_unfolded(cloud: Cloud, browser: Chromium) -> None:
    browser.open(cloud.url + RUN + DONE)
    browser.evaluate("document.querySelector('details').open = true")
    unfolded = browser.evaluate("document.querySelector('details').id")
    cloud.world.wandb.store.run(ENTITY, PROJECT, DONE).tags.append("new-tag")
    browser.evaluate(_ARRIVES)  # waits for the change, not for a time
    assert browser.evaluate(f"document.querySelector('#{unfolded}').open") is True
    assert browser.complaints == []


def test_a_person_may_stop_the_page_from_changing(cloud: Cloud, browser: Chromium) -> None:
    browser.open(f"{cloud.url}/")
    assert browser.evaluate("document.querySelector('#live').innerText").split() == ["●", "Live"]
    browser.evaluate("document.querySelector('#live').click()")
    assert browser.evaluate("document.querySelector('#live').innerText").split() == ["●", "Paused"]


def test_without_scripts_everything_is_there_but_the_button_that_needs_them(cloud: Cloud, browser: Chromium) -> None:
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(f"{cloud.url}/")
    browser.send("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.evaluate("document.querySelector('#live').hidden") is True
    assert browser.evaluate("document.querySelectorAll('article').length") == 3
    assert LIVE in browser.evaluate("document.body.innerText")
