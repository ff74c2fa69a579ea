"""The page about a program, in a browser: it has no script, so that there is nothing to wait for."""

import pytest

from conformance.reports.inspection import write_page
from exporters.inspection import inspect

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address(program, tmp_path_factory):
    path = tmp_path_factory.mktemp("inspection") / "a program.html"
    write_page(path, inspect(program))
    return path.as_uri()


@pytest.fixture
def look(chromium, address):
    """Opens the page; keywords are a browser context's. It must fetch nothing and print no error."""
    contexts, told = [], []

    def opening(**options):
        context = chromium.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: told.append(message.text))
        page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else told.append(request.url))
        page.goto(address)
        return page

    yield opening
    for context in contexts:
        context.close()
    assert told == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility_rules_hold(look, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = look(color_scheme=scheme)
    for summary in page.locator("summary").all():
        summary.click()
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"][:3]]) for rule in found] == []


def test_a_phone_scrolls_down_only_and_has_a_picture_of_its_own(look):
    wide, narrow = look(), look(viewport=PHONE)
    assert narrow.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert [page.locator(".treemap.wide").is_visible() for page in (wide, narrow)] == [True, False]
    assert [page.locator(".treemap.narrow").is_visible() for page in (wide, narrow)] == [False, True]


def test_the_themes_differ_and_style_is_not_blocked(look):
    grounds = [
        look(color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor") for scheme in ("light", "dark")
    ]
    assert grounds == ["rgb(255, 255, 255)", "rgb(17, 21, 25)"]


def test_keys_open_what_is_folded(look):
    page = look()
    summary = page.locator("summary").first
    for _ in range(20):
        page.keyboard.press("Tab")
        if summary.evaluate("node => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    assert page.locator("details").first.get_attribute("open") is not None
