"""The dashboard in a real browser: Debian's Chromium, started once.

Every page that a test opens must fetch nothing and print no error.
"""

import shutil

import pytest
import samples
from playwright.sync_api import sync_playwright

from conformance.reports.dashboard import write_page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium():
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        raise RuntimeError(
            f"none of {', '.join(CHROMIUM)} is installed, and the dashboard is tested in it: apt-get install chromium"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory):
    """Two runs of a few cells; the address of the page."""
    path = tmp_path_factory.mktemp("dashboard") / "two runs.html"
    write_page(path, [samples.current(), samples.earlier()])
    return path.as_uri()


@pytest.fixture(scope="session")
def single(tmp_path_factory):
    """One run of 300 models."""
    path = tmp_path_factory.mktemp("dashboard") / "one run.html"
    write_page(path, [samples.many()])
    return path.as_uri()


@pytest.fixture
def visit(chromium, dashboard):
    """``visit("#/", ...)`` opens a page and waits until it is there; keywords are a browser context's."""
    contexts, errors, requests = [], [], []

    def opening(address="#/", *, url=dashboard, context=None, **options):
        if context is None:
            context = chromium.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
            contexts.append(context)
            context.set_default_timeout(5000)
        page = context.new_page()
        page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(url + address)
        page.wait_for_selector("[data-ready]", state="attached")
        return page

    yield opening
    for context in contexts:
        context.close()
    assert errors == []
    assert [request for request in requests if not request.startswith(("file:", "data:"))] == []
