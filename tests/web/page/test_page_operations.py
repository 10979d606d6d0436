"""What a person does at the live page: import, watch, pause, look a number up."""

import contextlib
import gzip
import http.client
import re
from urllib.parse import urlsplit

import pytest
from support.front_door import FrontDoor
from support.harness import Worker, eventually, fresh_number, ledger_of, stopped
from support.page import Visitor, texts

from ringproof.batches.importing import import_roster
from ringproof.batches.summary import batch_summary
from ringproof.ledger.audit import entries
from ringproof.ledger.control import pause, resume, sending_status
from ringproof.ledger.credentials import Scope, issue
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask
from worker.web.page.shared import MOST_STREAMS


def roster(*numbers):
    return "Phone\n" + "\n".join(numbers) + "\n"


def acts(ledger):
    return [(entry.actor, entry.action, entry.subject) for entry in entries(ledger, 10)]


@pytest.fixture
def paused_bulk(ledger):
    """Nothing of a batch is sent meanwhile."""
    pause(ledger, Lane.BULK, "a test looks")
    yield
    resume(ledger, Lane.BULK)


def test_a_dry_run_shows_what_an_import_would_send_and_imports_nothing(visitor, ledger, batch_name):
    one, other = fresh_number(), fresh_number()
    shown = visitor.upload(roster(one, other, one, "n/a"), name=batch_name)

    assert shown.status_code == 200
    assert "Import 3 rows" in texts(shown)
    assert "To send 2 texts" in texts(shown)
    assert "Duplicates 1 row" in texts(shown)
    assert one not in shown.text
    assert batch_summary(ledger, batch_name) is None


def test_a_yes_imports_the_roster_and_the_audit_trail_says_who(visitor, ledger, batch_name, paused_bulk):
    page = visitor.import_(
        gzip.compress(roster(fresh_number(), fresh_number()).encode()), "people.csv.gz", name=batch_name
    )

    assert page.url.endswith("?done=imported")
    assert "The roster is imported." in texts(page)
    assert "0 of 2" in texts(page)
    assert batch_summary(ledger, batch_name).rows == 2
    assert ("import", f"{batch_name}: 2 rows") in [act[1:] for act in acts(ledger)]
    assert any(actor.endswith("@page") for actor, _, _ in acts(ledger))


def test_a_batch_without_a_name_gets_that_of_its_file(visitor, paused_bulk):
    page = visitor.upload(roster(fresh_number()), filename="C:\\lists\\Käse & People (May).csv")

    assert "Batch K se People May" in texts(page)


def test_a_roster_can_be_imported_paused(visitor, ledger, batch_name):
    forecast = visitor.upload(roster(fresh_number()), name=batch_name)
    upload = re.search(r'name="upload" value="([\w-]+)"', forecast.text)[1]
    page = visitor.submit("/page/import/yes", upload=upload, paused="on")

    assert batch_summary(ledger, batch_name).state == "paused"
    assert "an operator paused the batch" in texts(page)


def test_an_upload_is_imported_once_and_by_its_own_session_alone(visitor, visitor_with, batch_name, paused_bulk):
    forecast = visitor.upload(roster(fresh_number()), name=batch_name)
    upload = re.search(r'name="upload" value="([\w-]+)"', forecast.text)[1]
    by_another = visitor_with(Scope.BATCH).submit("/page/import/yes", upload=upload)
    first, second = (visitor.submit("/page/import/yes", upload=upload) for _ in range(2))

    assert (by_another.status_code, first.status_code, second.status_code) == (422, 200, 422)
    assert "choose it again" in texts(second)


@pytest.mark.parametrize(
    ("content", "filename", "fields", "said"),
    [
        ("", "people.csv", {}, "it is empty"),
        ("phone\nn/a\n", "people.csv", {}, "no row can be sent to"),
        (b"\x1f\x8b broken", "people.csv.gz", {}, "damaged"),
        ("phone\n+14155550123\n", "people.csv", {"name": "a/b"}, "batch"),
        ("phone\n4155550123\n", "people.csv", {"region": "XX"}, "region"),
        ("phone\n+14155550123\n", "people.csv", {"channel": "smoke"}, "channel"),
        ("phone\n+14155550123\n", "people.csv", {"number": "Mobile"}, "Mobile"),
        ("phone\n+14155550123\n", "%%%.csv", {}, "batch"),
    ],
)
def test_a_roster_that_cannot_be_read_leads_back_to_the_form_which_says_why(visitor, content, filename, fields, said):
    refused = visitor.upload(content, filename, **fields)

    assert refused.status_code == 422
    assert said in texts(refused)
    assert 'role="alert"' in refused.text
    assert all(f'value="{value}"' in refused.text for name, value in fields.items() if name != "channel")


def test_a_form_without_a_file_says_so(visitor):
    assert "choose a file" in texts(visitor.upload("", filename=""))


def test_four_rosters_come_in_at_once_and_a_fifth_is_refused(door, visitor, batch_name):
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    kind = {"Cookie": cookie, "Content-Type": "multipart/form-data; boundary=b", "Content-Length": "1000"}
    with contextlib.ExitStack() as opened:
        for _ in range(4):
            slow = opened.enter_context(contextlib.closing(http.client.HTTPConnection(urlsplit(door.url).netloc)))
            slow.request("POST", "/page/import", body=b"--b\r\n", headers=kind)
        eventually(lambda: visitor.upload(roster(fresh_number()), name=batch_name).status_code == 503)
    eventually(lambda: visitor.upload(roster(fresh_number()), name=batch_name).status_code == 200)


def test_one_open_page_too_many_is_refused_until_another_is_closed(visitor):
    def opened():
        return visitor.get("/page/live?view=overview", stream=True)

    with contextlib.ExitStack() as pages:
        for _ in range(MOST_STREAMS):
            assert pages.enter_context(opened()).status_code == 200
        with opened() as refused:
            assert refused.status_code == 503
            assert "close some" in texts(refused)

    def is_taken():
        with opened() as answer:
            return answer.status_code == 200

    eventually(is_taken)


def test_many_rejected_rows_ask_once_more(visitor, batch_name):
    few = visitor.upload(roster(*(fresh_number() for _ in range(10)), "12"), name=batch_name)
    many = visitor.upload(roster(fresh_number(), "12"), name=batch_name)

    assert 'id="sure"' not in few.text
    assert re.search(r'id="sure" type="checkbox" required', many.text)


def test_a_name_that_is_taken_is_refused(visitor, batch_name, paused_bulk):
    visitor.import_(roster(fresh_number()), name=batch_name)
    forecast = visitor.upload(roster(fresh_number()), name=batch_name)
    upload = re.search(r'name="upload" value="([\w-]+)"', forecast.text)[1]
    refused = visitor.submit("/page/import/yes", upload=upload)

    assert refused.status_code == 422
    assert "choose another name" in texts(refused)


def test_a_batch_is_paused_resumed_and_cancelled(visitor, ledger, batch_name, paused_bulk):
    import_roster([fresh_number()], batch_name)
    path = f"/page/batches/{batch_name}"
    states = []
    for action in ("pause", "pause", "resume", "cancel", "cancel"):
        page = visitor.submit(f"{path}/{action}")
        states.append((batch_summary(ledger, batch_name).state.value, page.url.partition("done=")[2]))

    assert states == [
        ("paused", "paused"),
        ("paused", "nothing"),
        ("running", "resumed"),
        ("cancelled", "cancelled"),
        ("cancelled", "nothing"),
    ]
    assert [action for _, action, subject in acts(ledger) if subject == batch_name] == [
        "batch pause",
        "batch resume",
        "batch cancel",
    ]


def test_an_operation_that_is_none_is_refused(visitor, batch_name, paused_bulk):
    import_roster([fresh_number()], batch_name)

    assert visitor.submit(f"/page/batches/{batch_name}/explode").status_code == 404
    assert visitor.submit("/page/batches/nothing-of-this-name/pause").status_code == 404


def operators_pauses(ledger):
    """Why operators have paused the sending; what the misfortunes of other tests have paused is not theirs."""
    return [one.why for one in sending_status(ledger).pauses if one.kind is None]


def test_the_sending_is_paused_and_resumed_with_a_reason(visitor, ledger):
    paused = visitor.submit("/page/sending/pause", reason="Plivo  has\nan incident")
    is_paused = operators_pauses(ledger)
    again = visitor.submit("/page/sending/pause", reason="another")
    resumed = visitor.submit("/page/sending/resume")
    nothing = visitor.submit("/page/sending/resume")

    assert is_paused == ["Plivo has an incident"]
    assert "Plivo has an incident" in texts(paused)
    assert "was paused already" in texts(again)
    assert "The pause has ended" in texts(resumed)
    assert "There was no pause" in texts(nothing)
    assert not operators_pauses(ledger)


def test_one_lane_is_resumed_alone(visitor, ledger):
    pause(ledger, Lane.BULK)
    pause(ledger, Lane.SCHEDULED)
    offered = visitor.get("/").text
    resumed = visitor.submit("/page/sending/resume", lane="bulk")
    again = visitor.submit("/page/sending/resume", lane="bulk")
    left = [one.lane for one in sending_status(ledger).pauses]
    resume(ledger, Lane.SCHEDULED)

    assert "Resume bulk" in texts(offered)
    assert "The pause has ended" in texts(resumed)
    assert "There was no pause" in texts(again)
    assert left == [Lane.SCHEDULED]


def test_a_number_is_found_in_any_notation_and_no_address_has_it(visitor, ledger, door):
    number = fresh_number()
    ledger.accept(number, token=number)
    story = visitor.submit("/page/numbers", number=f"({number[2:5]}) {number[5:8]}-{number[8:]}".replace("(", "+1 ("))
    addresses = [
        story.url,
        *(answer.url for answer in story.history),
        *re.findall(r'(?:href|action)="([^"]+)"', story.text),
    ]

    assert story.status_code == 200
    assert mask(number) in texts(story)
    assert "queued" in texts(story)
    assert number not in story.text
    assert not [address for address in addresses if number[2:] in address]


def test_a_number_in_full_is_on_the_audit_trail(visitor, ledger):
    number = fresh_number()
    ledger.accept(number, token=number)
    story = visitor.submit("/page/numbers", number=number)
    shown = visitor.post(story.url, data={"csrf": visitor.csrf})

    assert number in texts(shown)
    assert acts(ledger)[-1][1:] == ("unmask", mask(number))
    assert number not in visitor.get(story.url).text


def test_a_story_is_of_no_use_to_another_credential_and_in_the_api(visitor, visitor_with, door, ledger, issued):
    number = fresh_number()
    ledger.accept(number, token=number)
    story = visitor.submit("/page/numbers", number=number)
    path = story.url.removeprefix(door.url)
    token = issued(*Scope).token.get_secret_value()
    in_api = visitor.get(
        f"/verifications/{path.rpartition('/')[2]}/confirm", headers={"Authorization": f"Bearer {token}"}
    )

    assert visitor_with(Scope.READ).get(path).status_code == 404
    assert in_api.status_code in {404, 405}


def test_the_address_of_a_story_ends_when_its_number_is_erased(visitor, ledger, run):
    number = fresh_number()
    ledger.accept(number, token=number)
    story = visitor.submit("/page/numbers", number=number)
    run("erase", number, "--yes")

    assert visitor.get(story.url).status_code == 404
    assert not [key for key in ledger.client.keys("*") if number in key]


def test_an_unknown_number_and_a_text_that_is_none_say_what_to_do(visitor):
    number = fresh_number()
    unknown, wrong = visitor.submit("/page/numbers", number=number), visitor.submit("/page/numbers", number="hello")
    long = visitor.submit("/page/numbers", number="1" * 5000)

    assert (unknown.status_code, wrong.status_code, long.status_code) == (404, 422, 422)
    assert mask(number) in texts(unknown)
    assert number not in unknown.text
    assert "write it with its country code" in texts(wrong)


def test_who_looks_for_a_number_without_its_country_reads_a_sentence_and_no_advice_for_programs(visitor):
    wrong = visitor.submit("/page/numbers", number="555-0199")

    assert "Please write the phone number with its country code" in texts(wrong)
    assert "region=" not in wrong.text


def test_the_rows_of_an_outcome_are_listed_page_by_page_and_lead_to_their_stories(visitor, batch_name, paused_bulk):
    numbers = [fresh_number() for _ in range(60)]
    import_roster(numbers, batch_name, paused=True)
    path = f"/page/batches/{batch_name}/rows"
    first = visitor.get(f"{path}?outcome=pending")
    after = re.search(r'href="\?outcome=pending&amp;after=([^"]+)">More rows', first.text)[1]
    more = visitor.get(f"{path}?outcome=pending&after={after}")
    rows = [re.findall(r'name="row" value="(sms:\d+)"', page.text) for page in (first, more)]
    none = visitor.get(f"{path}?outcome=verified")
    unknown = visitor.submit("/page/numbers", batch=batch_name, row="sms:3")
    places = ("sms:x", "fax:1", "sms:99999", "sms:-1", "")
    wrong = [visitor.submit("/page/numbers", batch=batch_name, row=place).status_code for place in places]

    assert rows == [[f"sms:{n}" for n in range(50)], [f"sms:{n}" for n in range(50, 60)]]
    assert not [number for number in numbers if number in first.text]
    assert "No row of this batch stands here now" in texts(none)
    assert mask(numbers[3]) in texts(unknown)  # it is not in the ledger yet
    assert set(wrong) == {404}


def test_a_batch_imported_on_the_page_is_watched_until_it_is_completed(environ, plivo, redis_server, tmp_path, idle):
    own = idle | {"RINGPROOF_RESEND_COOLDOWN_SECONDS": "1"}
    with ledger_of(own) as ledger:
        person = issue(ledger, "watches")
        door = FrontDoor(tmp_path / "door.log", own, tmp_path, person)
        with stopped(door), Visitor(door.url) as visitor:
            visitor.log_in(person)
            without_worker = texts(visitor.get("/"))
            with stopped(Worker(tmp_path / "worker.log", own, tmp_path, "-P", "threads", "-B")):
                visitor.import_(roster(*(fresh_number() for _ in range(20))), name="watched")
                seen = []
                for name, parts in visitor.events("/page/live?view=batch&name=watched"):
                    if name == "parts":
                        seen.append(texts(parts.get("batch", "")))
                    if seen and "completed" in seen[-1]:
                        break
                overview = next(visitor.events("/page/live?view=overview"))[1]
            visitor.get("/")

    assert "No worker takes messages" in without_worker
    assert "Nothing is sent" in without_worker
    assert len(seen) > 1
    assert "20 of 20" in seen[-1]
    assert set(overview) == {"sending", "charts", "batches", "problem"}
    assert "Code sent 20" in texts(overview["charts"])
