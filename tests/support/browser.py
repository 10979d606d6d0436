"""A real browser for the tests of pages: Chromium, if it is on PATH."""

import contextlib
import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is on PATH: apt-get install chromium")
ignores_its_loop = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright's own event loop


@contextlib.contextmanager
def chromium():
    """Start a browser, and close it after the block."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def complaints_of(page, url):
    """Return a list that gets what the browser complains about from now on, and what it asks beyond this URL."""
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith(url) else complaints.append(f"asked {one.url}"))
    return complaints
