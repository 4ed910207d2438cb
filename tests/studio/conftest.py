"""A real browser for what needs one: a Chrome or Chromium that is installed, driven by Playwright."""

import pytest

from neocog.studio.bundle import WEB

from ..browsers import BROWSER  # noqa: TID252

SITE = "http://studio.test"  # exists in `module_page` only
BLANK = '<!doctype html><title>test</title><link rel="icon" href="data:,">'
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".json": "application/json"}


@pytest.fixture(scope="module")
def browser():
    """The browser of a file's tests: while it is open, no other test could run an event loop."""
    if BROWSER is None:
        pytest.skip("there is no Chrome or Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A page in a context of its own; the test fails if the console has a line or a script an error.

    ``page.complaints`` has what it said; a test that expects a line clears it.
    """
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda line: page.complaints.append(f"{line.type}: {line.text}"))
    page.on("pageerror", lambda error: page.complaints.append(f"error: {error}"))
    yield page
    context.close()
    assert page.complaints == []


@pytest.fixture
def module_page(page):
    """An empty page that can import the modules: ``await import("/network.js")``; all else is refused."""

    def answer(route):
        name = route.request.url.removeprefix(f"{SITE}/")
        file = WEB / name
        if name == "":
            route.fulfill(body=BLANK, content_type="text/html")
        elif file.is_file():
            route.fulfill(path=file, content_type=TYPES.get(file.suffix, "application/octet-stream"))
        else:
            route.abort()

    page.route("**/*", answer)
    page.goto(f"{SITE}/")
    return page
