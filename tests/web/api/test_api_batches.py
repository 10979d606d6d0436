"""Batches over the API: a roster that is streamed in, steered, and streamed out."""

import gzip
import itertools
import socket
from urllib.parse import urlsplit

import psutil
import pytest
from support.harness import eventually, fresh_number

from ringproof.batches.summary import batch_names

NAMES = (f"upload {count}" for count in itertools.count())


@pytest.fixture
def name(api, ledger):
    """A batch's name; whatever became of the batch, it ends with the test."""
    one = next(NAMES)
    yield one
    api.post(f"/batches/{one}/cancel")


def roster(rows, *columns):
    return "".join(f"{line}\n" for line in (",".join(("Phone", "Name", *columns)), *rows)).encode()


def rows(count):
    return [f"{fresh_number()},Ada {at}" for at in range(count)]


def upload(api, name, body, kind="text/csv", **parameters):
    return api.post("/batches", params={"name": name, **parameters}, data=body, headers={"Content-Type": kind})


def names(ledger):
    return set(batch_names(ledger))


def test_an_upload_is_a_dry_run_unless_it_says_otherwise(api, ledger, name):
    shown = upload(api, name, roster([*rows(20), "n/a,Zoë", "+1 555 0100,Eve"]))

    assert shown.status_code == 200
    assert (shown.json()["rows"], shown.json()["texts"]) == (20, 20)
    assert shown.json()["rejected"] == {"empty": 1, "impossible": 1}
    assert name not in names(ledger)


@pytest.mark.usefixtures("worker")
def test_a_roster_is_imported_and_comes_back_with_its_outcomes(api, name):
    body = roster(rows(3))
    made = upload(api, name, body, dry_run=False, paused=True)
    shown = api.get(made.headers["Location"]).json()
    exported = api.get(f"/batches/{name}/export")

    assert (made.status_code, made.json()["rows"], shown["state"]) == (201, 3, "paused")
    assert exported.headers["Content-Type"].startswith("text/csv")
    header, *lines = exported.text.splitlines()
    assert header.startswith("phone_number,state,reason")
    assert header.endswith("Phone,Name")
    assert [line.partition(",")[0] for line in lines] == [
        line.partition(",")[0] for line in body.decode().splitlines()[1:]
    ]


def test_an_export_is_ndjson_if_it_is_asked_for(api, name):
    upload(api, name, roster(rows(2)), dry_run=False, paused=True)
    exported = api.get(f"/batches/{name}/export", params={"format": "ndjson"})

    assert exported.headers["Content-Type"] == "application/x-ndjson"
    assert [line[:16] for line in exported.text.splitlines()] == ['{"phone_number":'] * 2


def test_a_roster_may_be_packed_and_may_be_ndjson(api, name):
    lines = "".join(f'{{"phone": "{fresh_number()}"}}\n' for _ in range(3)).encode()

    assert upload(api, name, gzip.compress(roster(rows(2))), "application/gzip").json()["rows"] == 2
    assert upload(api, name, lines, "application/x-ndjson").json()["rows"] == 3


def test_a_column_that_is_not_found_is_named(api, name):
    body = f"who,where\nAda,{fresh_number()}\nEve,{fresh_number()}\n".encode()
    shown = upload(api, name, body, map=["number=where", "alias=who"])
    wrong = upload(api, name, body, map=["number"])

    assert shown.json()["rows"] == 2
    assert (wrong.status_code, wrong.json()["field"]) == (422, "map")


def test_a_batch_is_paused_resumed_and_cancelled(api, name):
    upload(api, name, roster(rows(2)), dry_run=False, paused=True)
    states = [
        api.post(f"/batches/{name}/{change}").json().get("state")
        for change in ("pause", "resume", "pause", "cancel", "cancel")
    ]
    refused = api.post(f"/batches/{name}/resume")

    assert states == ["paused", "running", "paused", "cancelled", "cancelled"]
    assert (refused.status_code, refused.json()["reason"]) == (409, "batch_state")


def test_the_audit_trail_says_which_program_did_it(api, ledger, name):
    from ringproof.ledger.audit import entries  # noqa: PLC0415  # for this test alone

    upload(api, name, roster(rows(2)), dry_run=False, paused=True)
    api.post(f"/batches/{name}/cancel")
    done = [(entry.action, entry.actor) for entry in entries(ledger, 20) if name in entry.subject]

    assert [action for action, _ in done] == ["import", "batch cancel"]
    assert all(actor.startswith("program ") and actor.endswith("@door") for _, actor in done)


@pytest.mark.parametrize("path", ["", "/pause", "/resume", "/cancel", "/export"])
@pytest.mark.parametrize("unknown", ["nothing", "a*b", "%00", "x" * 100])
def test_an_unknown_batch_is_not_found(api, path, unknown):
    method = "GET" if path in {"", "/export"} else "POST"
    refused = api.request(method, f"/batches/{unknown}{path}")

    assert (refused.status_code, refused.json()["reason"]) == (404, "unknown_batch")


@pytest.mark.parametrize(
    ("body", "kind", "answer"),
    [
        (b"", "text/csv", (422, "invalid_roster")),
        (b"Phone\nn/a\n", "text/csv", (422, "invalid_roster")),
        (b"PK\x03\x04 a workbook", "text/csv", (422, "invalid_roster")),
        (b"\x1f\x8b no gzip", "application/gzip", (422, "invalid_roster")),
        (b"Phone\n+14155550123\n", "application/json", (415, "not_a_roster")),
        (b"Phone\n+14155550123\n", "", (415, "not_a_roster")),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_what_is_no_roster_is_refused_and_leaves_nothing(api, ledger, name, body, kind, answer, dry_run):
    refused = upload(api, name, body, kind, dry_run=dry_run)

    assert (refused.status_code, refused.json()["reason"]) == answer
    assert name not in names(ledger)


def test_with_too_many_rejects_nothing_is_imported(api, ledger, name):
    body = roster([*rows(3), "+1 555 0100,Eve"])
    refused = upload(api, name, body, dry_run=False)

    assert (refused.status_code, refused.json()["reason"]) == (422, "invalid_roster")
    assert "0100" not in refused.text
    assert name not in names(ledger)
    assert upload(api, name, body, dry_run=False, paused=True, max_reject_share=0.5).status_code == 201


def test_a_refused_upload_is_answered_however_much_of_it_is_still_to_come(api, name):
    def body():
        yield b"PK\x03\x04 a workbook"
        for _ in range(200):
            yield b"x" * 65_536

    refused = upload(api, name, body())

    assert (refused.status_code, refused.json()["reason"]) == (422, "invalid_roster")


def test_the_same_name_twice_is_refused(api, name):
    body = roster(rows(2))
    upload(api, name, body, dry_run=False, paused=True)
    again = upload(api, name, body, dry_run=False)

    assert (again.status_code, again.json()["reason"]) == (409, "batch_exists")


@pytest.mark.parametrize("is_chunked", [True, False])
def test_an_upload_that_is_cut_off_leaves_nothing(api, ledger, door, name, is_chunked):
    body = roster(rows(5_000))
    place = urlsplit(door.url)
    head = (
        f"POST /batches?name={name.replace(' ', '+')}&dry_run=false HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Authorization: {api.headers['Authorization']}\r\nContent-Type: text/csv\r\n"
    )
    if is_chunked:
        head += f"Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n"
    else:
        head += f"Content-Length: {len(body) + 1}\r\n\r\n"
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(head.encode() + body)
        eventually(lambda: name in names(ledger), why="the import did not begin")
    eventually(lambda: name not in names(ledger), why="its rows are still there")

    assert upload(api, name, body, dry_run=False, paused=True).json()["rows"] == 5_000


def test_an_upload_of_200_000_rows_takes_no_more_memory_than_a_small_one(api, door, name):
    """24 MB, which would show: the process may grow by what its threads and a page of rows take."""
    upload(api, name, roster(rows(2_000)))
    process = psutil.Process(door.popen.pid)
    before, most = process.memory_info().rss, 0

    def body():
        nonlocal most
        yield b"Phone,Name,Note\n"
        for page in range(200):
            lines = (f"+1415{2_000_000 + page * 1_000 + at},Ada {at},{'x' * 90}" for at in range(1_000))
            yield ("\n".join(lines) + "\n").encode()
            most = max(most, process.memory_info().rss)

    made = upload(api, name, body(), dry_run=False, paused=True)

    assert made.json()["rows"] == 200_000
    assert most - before < 16 << 20
