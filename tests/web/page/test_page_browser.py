"""The live page in a real browser: a person imports a roster, watches it finish, pauses and looks a number up."""

import contextlib

import pytest
from support.browser import chromium, complaints_of, ignores_its_loop, needs_browser
from support.front_door import FrontDoor
from support.harness import PATIENCE_SECONDS, Worker, fresh_number, ledger_of, stopped

from ringproof.ledger.credentials import issue
from ringproof.phone.masking import mask

SIZES = ({"width": 1440, "height": 900}, {"width": 375, "height": 800})
SERIOUS = ("serious", "critical")

pytestmark = [needs_browser, ignores_its_loop]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def served(idle, tmp_path_factory):
    """A front door and a worker of a Redis of their own, and a credential."""
    folder = tmp_path_factory.mktemp("browser")
    with ledger_of(idle) as ledger:
        person = issue(ledger, "on call")
    door = FrontDoor(folder / "door.log", idle, folder, person)
    worker = Worker(folder / "worker.log", idle, folder, "-P", "threads", "-B")
    with stopped(door), stopped(worker):
        yield door


@pytest.fixture
def opened(browser, served):
    """Return a function that opens the overview as somebody who has logged in, and what the browser complains about."""
    with contextlib.ExitStack() as stack:

        def open_(**options):
            context = stack.enter_context(browser.new_context(**options))
            context.set_default_timeout(PATIENCE_SECONDS * 1000)
            page = context.new_page()
            complaints = complaints_of(page, served.url)
            page.goto(served.url)
            page.get_by_label("Auth id").fill(served.auth_id)
            page.get_by_label("Token").fill(served.token)
            page.get_by_role("button", name="Log in").click()
            page.get_by_role("heading", name="Overview").wait_for()
            return page, complaints

        yield open_


def import_roster(page, folder, name, numbers):
    file = folder / f"{name}.csv"
    file.write_text("Phone\n" + "\n".join(numbers))
    page.get_by_role("link", name="Import", exact=True).click()
    page.get_by_label("Roster").set_input_files(file)
    page.get_by_role("button", name="See what it would send").click()
    page.get_by_role("button", name=f"Import {len(numbers)} rows").click()
    page.get_by_role("heading", name=name).wait_for()


def test_a_person_imports_watches_pauses_and_looks_a_number_up(opened, tmp_path):
    page, complaints = opened()
    numbers = [fresh_number() for _ in range(30)]
    import_roster(page, tmp_path, "watched", numbers)
    page.get_by_text("completed").wait_for()  # nobody has loaded the page again
    done = page.get_by_text("30 of 30").count()

    page.get_by_role("link", name="Overview").first.click()
    page.locator("#pause-ask").click()
    page.get_by_label("Why").fill("Plivo has an incident")
    page.get_by_role("button", name="Pause all sending").click()
    page.get_by_text("Plivo has an incident").wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("The pause has ended").wait_for()

    page.get_by_label("Phone number").fill(numbers[3])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Its story").wait_for()
    masked, address = page.get_by_role("heading", level=1).inner_text(), page.url
    page.get_by_role("button", name="Show the number").click()
    page.get_by_text("the audit trail says so").wait_for()

    assert done
    assert masked == mask(numbers[3])
    assert numbers[3][1:] not in address
    assert page.get_by_role("heading", level=1).inner_text() == numbers[3]
    assert not complaints


def test_what_a_person_types_and_has_opened_stays_while_the_page_changes(opened):
    page, complaints = opened()
    page.locator("#pause-ask").click()
    page.get_by_label("Why").type("because")
    page.get_by_text("Live", exact=True).wait_for()
    page.evaluate("document.querySelector('[data-part=sending] .verdict').textContent = 'old'")
    with page.expect_response("**/page/live**"):
        page.evaluate("disconnect(); connect()")  # a new stream begins with all parts
    page.wait_for_function("document.querySelector('[data-part=sending] .verdict').textContent !== 'old'")

    assert page.get_by_label("Why").input_value() == "because"
    assert page.get_by_label("Why").evaluate("it => it === document.activeElement")
    assert page.locator("details.ask").first.evaluate("it => it.open")
    assert not complaints


def test_without_javascript_the_page_is_whole(opened, tmp_path):
    page, complaints = opened(java_script_enabled=False)
    import_roster(page, tmp_path, "without javascript", [fresh_number(), fresh_number()])
    page.get_by_text("of 2").first.wait_for()
    page.get_by_role("link", name="Load the newest figures").click()
    page.locator("#batch-cancel-ask").or_(page.get_by_text("completed")).first.wait_for()

    assert not complaints


def test_all_of_it_is_reached_by_keyboard(opened):
    page, _ = opened()
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))

    assert seen[:6] == ["Skip to the content", "Ringproof", "Overview", "Import", "number", "Find number"]
    assert "Pause sending" in seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_barrier_or_is_wider_than_the_screen(opened, tmp_path, scheme, browser):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page, complaints = opened(color_scheme=scheme)
    number = fresh_number()
    import_roster(page, tmp_path, f"seen {scheme}", [number, "+447400123456"])
    found = []

    def look():
        for size in SIZES:
            page.set_viewport_size(size)
            violations = axe.run(page).response["violations"]
            found.extend((page.url, size["width"], one["id"]) for one in violations if one["impact"] in SERIOUS)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append((page.url, size["width"], "it is too wide"))

    look()
    base = page.url.partition("/page/")[0]
    for path in ("/", "/page/import", f"/page/batches/seen%20{scheme}/rows?outcome=code_sent", "/page/login?link=x"):
        page.goto(base + path)
        look()
    page.goto(base)
    page.get_by_label("Phone number").fill(number)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Its story").wait_for()
    look()

    assert not found
    page.evaluate("document.querySelector('main').innerHTML = '<img src=\"/page/static/icon.svg\"><input>'")
    look()
    assert {"image-alt", "label"} <= {each[-1] for each in found}, "axe sees what is wrong"
    assert len(complaints) <= 1  # the 401 of a link that is none
