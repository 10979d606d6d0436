"""Each misfortune does on the wire what its kind says, to the requests it is for; the ledger has the codes sent."""

import json
import random
import socket
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from support.harness import AUTH_ID, AUTH_TOKEN, fresh_number

from worker.local.sandbox.misfortune_answers import FLOOD_BYTES
from worker.local.sandbox.misfortunes import OPERATIONS, Misfortune, MisfortuneKind
from worker.local.sandbox.state import SandboxState
from worker.local.sandbox.switches import Switches

PLIVOS, HTML = "application/json", "text/html; charset=utf-8"
MEGABYTE = 1024 * 1024


@pytest.fixture
def collection(plivo):
    """The URL to which an initiate goes."""
    return f"{plivo.base_url}/Account/{AUTH_ID}/VerifiedCallerId/"


@pytest.fixture
def session():
    """A client that keeps its connections and follows redirects, unlike Ringproof's own."""
    with requests.Session() as opened:
        opened.trust_env = False
        opened.auth = (AUTH_ID, AUTH_TOKEN)
        yield opened


def initiate(session, collection, number=None):
    number = number or fresh_number()
    return session.post(collection, json={"phone_number": number}, timeout=10, allow_redirects=False)


def connection_after_initiate(collection, number):
    """Write an initiate to a socket, and return the socket."""
    where = urlsplit(collection)
    request = requests.Request("POST", collection, json={"phone_number": number}, auth=(AUTH_ID, AUTH_TOKEN)).prepare()
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    connection = socket.create_connection((where.hostname, where.port), 10)
    connection.sendall(f"POST {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\n{head}\r\n".encode() + request.body)
    return connection


def until(connection, end):
    """Read up to this ending, and return the bytes."""
    read = b""
    while not read.endswith(end):
        piece = connection.recv(1)
        assert piece, f"closed after {read!r}"
        read += piece
    return read


# On the wire

NOT_SENT = {
    "400": (400, PLIVOS),
    "401": (401, PLIVOS),
    "402": (402, PLIVOS),
    "403": (403, PLIVOS),
    "429": (429, PLIVOS),
    "429_seconds": (429, PLIVOS),
    "429_date": (429, PLIVOS),
    "429_junk": (429, PLIVOS),
    "500_before": (500, PLIVOS),
    "502_before": (502, HTML),
    "503": (503, PLIVOS),
    "503_retry_after": (503, HTML),
    "503_bare": (503, HTML),
    "504_before": (504, HTML),
    "redirect": (307, None),
}
SENT = {
    "500_after": (500, PLIVOS),
    "502_after": (502, HTML),
    "503_bare_after": (503, HTML),
    "504_after": (504, HTML),
    "closed_idle": (201, PLIVOS),
    "empty": (201, None),
    "html": (201, HTML),
    "truncated": (201, PLIVOS),
    "without_uuid": (201, PLIVOS),
    "async": (202, PLIVOS),
    "error_in_200": (200, PLIVOS),
}
RETRY_AFTER = {"429_seconds": "5", "429_junk": "soon", "503_retry_after": "5"}


@pytest.mark.parametrize("kind", [*NOT_SENT, *SENT])
def test_an_answer_has_the_status_and_the_shape_of_its_kind(plivo, session, collection, kind):
    plivo.befall(kind)

    answer = initiate(session, collection)

    assert (answer.status_code, answer.headers.get("Content-Type")) == (NOT_SENT | SENT)[kind]
    assert kind == "429_date" or answer.headers.get("Retry-After") == RETRY_AFTER.get(kind)
    assert len(plivo.sends()) == (kind in SENT)
    assert [(one["status"], one["misfortune"]) for one in plivo.requests()] == [(answer.status_code, kind)]
    assert initiate(session, collection).status_code == 201
    assert plivo.requests()[1]["misfortune"] is None


def test_a_429_with_a_date_has_a_date_that_many_seconds_ahead(plivo, session, collection):
    plivo.befall("429_date", seconds=60)
    before = time.time()

    date = initiate(session, collection).headers["Retry-After"]

    assert date.endswith(" GMT")
    assert before + 60 <= parsedate_to_datetime(date).timestamp() <= time.time() + 61


def test_a_damaged_success_lacks_exactly_the_part_that_its_kind_names(plivo, session, collection):
    kinds = ["empty", "html", "truncated", "without_uuid", "async", "error_in_200"]
    plivo.script(*({"kind": kind} for kind in kinds))

    empty, html, truncated, *whole = (initiate(session, collection).text for _ in kinds)

    assert empty == ""
    assert "<html>" in html
    assert truncated.startswith('{"api_id":')
    assert not truncated.endswith("}")
    without_uuid, asynchronous, error = map(json.loads, whole)
    assert without_uuid.keys() == {"api_id", "message"}
    assert asynchronous | {"api_id": ""} == {"api_id": "", "message": "async api spawned"}
    assert error.keys() == {"api_id", "error"}
    assert len(plivo.sends()) == len(kinds)


@pytest.mark.parametrize(("kind", "codes"), [("reset_before", 0), ("reset_after", 1)])
def test_a_reset_comes_in_place_of_the_head(plivo, collection, kind, codes):
    number = fresh_number()
    plivo.befall(kind)

    with connection_after_initiate(collection, number) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert len(plivo.sends(number)) == codes
    assert [(one["status"], one["misfortune"]) for one in plivo.requests()] == [(None, kind)]


def test_a_reset_in_the_body_comes_after_the_head_of_a_success(plivo, collection):
    number = fresh_number()
    plivo.befall("reset_in_body")

    with connection_after_initiate(collection, number) as connection:
        head = until(connection, b"\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert head.startswith(b"HTTP/1.1 201 Created\r\n")
    assert len(plivo.sends(number)) == 1


def test_closed_idle_closes_a_connection_that_its_head_keeps_open(plivo, collection):
    number = fresh_number()
    plivo.befall("closed_idle")

    with connection_after_initiate(collection, number) as connection:
        head = until(connection, b"\r\n\r\n")
        body = until(connection, b"}")
        end = connection.recv(1)

    (sent,) = plivo.sends(number)
    assert b"connection: close" not in head.lower()
    assert json.loads(body)["verification_uuid"] == sent["verification_uuid"]
    assert end == b""


def test_a_trickle_is_the_true_answer_byte_by_byte(plivo, collection):
    number = fresh_number()
    plivo.befall("trickle", seconds=0.001)

    with connection_after_initiate(collection, number) as connection:
        until(connection, b"\r\n\r\n")
        pieces = []
        while size := int(until(connection, b"\r\n"), 16):
            pieces.append(until(connection, b"\r\n")[:-2])
            assert size == len(pieces[-1]) == 1

    (sent,) = plivo.sends(number)
    assert json.loads(b"".join(pieces))["verification_uuid"] == sent["verification_uuid"]


def test_a_client_that_follows_a_redirect_is_among_the_sandboxs_requests(plivo, session, collection):
    plivo.befall("redirect")

    followed = session.post(collection, json={"phone_number": fresh_number()}, timeout=10)

    assert followed.status_code == 404
    assert [(one["method"], one["kind"], one["status"]) for one in plivo.requests()] == [
        ("POST", "initiate", 307),
        ("POST", "other", 404),
    ]
    assert plivo.sends() == []


def test_a_flood_has_a_hundred_megabytes_and_the_sandbox_does_not_keep_them_in_memory(plivo, session, collection):
    plivo.befall("flood")
    process = psutil.Process(plivo.popen.pid)
    before, highest, length = process.memory_info().rss, 0, 0

    with session.post(collection, json={"phone_number": fresh_number()}, timeout=10, stream=True) as answer:
        for piece in answer.iter_content(MEGABYTE):
            length += len(piece)
            highest = max(highest, process.memory_info().rss)
            last = piece

    (sent,) = plivo.sends()
    assert length > FLOOD_BYTES
    assert json.loads(last)["verification_uuid"] == sent["verification_uuid"]
    assert highest - before < 8 * MEGABYTE


# The requests that it happens to


def statuses(session, collection, *numbers):
    return [initiate(session, collection, number).status_code for number in numbers]


def test_a_misfortune_happens_to_the_next_n_requests_and_no_others(plivo, session, collection):
    plivo.befall("503", times=2)

    assert statuses(session, collection, None, None, None) == [503, 503, 201]
    assert plivo.armed() == []


def test_the_first_matching_misfortune_happens_and_the_others_wait(plivo, session, collection):
    one, other = fresh_number(), fresh_number()
    plivo.script(
        {"kind": "500_before", "number": one}, {"kind": "502_before"}, {"kind": "503", "number": one, "times": 2}
    )

    assert statuses(session, collection, other, one, one) == [502, 500, 503]
    assert plivo.armed() == [{"kind": "503", "number": one, "times": 1}]


def test_a_share_of_one_happens_to_every_request_until_it_is_cleared(plivo, session, collection):
    plivo.script({"kind": "502_before", "share": 0}, {"kind": "503", "share": 1})

    assert set(statuses(session, collection, *[None] * 20)) == {503}
    assert plivo.armed() == [{"kind": "502_before", "share": 0}, {"kind": "503", "share": 1}]
    plivo.spare()
    assert statuses(session, collection, None) == [201]


def test_a_share_with_times_ends_after_it_has_happened_that_often(plivo, session, collection):
    plivo.befall("503", share=0.5, times=3)

    seen = []
    while seen.count(503) < 3:
        seen += statuses(session, collection, None)

    assert plivo.armed() == []
    assert statuses(session, collection, None) == [201]
    assert set(seen) <= {201, 503}


def test_each_share_is_a_share_of_the_requests_that_earlier_ones_left(monkeypatch):
    monkeypatch.setattr("worker.local.sandbox.misfortunes.random", random.Random(20))  # not by chance
    state = SandboxState(Switches())
    state.misfortunes = [
        Misfortune(MisfortuneKind.UNAVAILABLE, share=0.5),
        Misfortune(MisfortuneKind.FAILS_AFTER, share=0.5),
    ]

    happened = [state.take_misfortune(state.arrive("POST", "initiate", ""), "+14155550123") for _ in range(10_000)]

    assert happened.count(state.misfortunes[0]) == pytest.approx(5000, rel=0.1)
    assert happened.count(state.misfortunes[1]) == pytest.approx(2500, rel=0.1)
    assert happened.count(None) == pytest.approx(2500, rel=0.1)


@pytest.mark.parametrize("kind", ["401", "402", "403"])
def test_a_misfortune_of_the_account_refuses_every_operation_until_it_is_cleared(plivo, session, collection, kind):
    sent = initiate(session, collection).json()["verification_uuid"]
    plivo.befall(kind, share=1)

    answers = [
        initiate(session, collection),
        session.post(f"{collection}Verification/{sent}/", json={"otp": plivo.sends()[0]["code"]}, timeout=10),
        session.get(f"{collection}14155550123/", timeout=10),
        session.get(collection, timeout=10),
    ]

    assert [answer.status_code for answer in answers] == [int(kind)] * 4
    assert [one["misfortune"] for one in plivo.requests()] == [None, *[kind] * 4]
    plivo.spare()
    assert session.get(collection, timeout=10).status_code == 200


@pytest.mark.parametrize(("kind", "is_for_one"), [("403", True), ("503", False)])
def test_a_misfortune_of_a_number_or_of_initiates_spares_other_operations(plivo, session, collection, kind, is_for_one):
    number = fresh_number()
    plivo.befall(kind, share=1, **({"number": number} if is_for_one else {}))

    assert session.get(collection, timeout=10).status_code == 200
    assert session.get(f"{collection}{number}/", timeout=10).status_code == 404
    assert statuses(session, collection, number) == [int(kind)]


def each_operation(plivo, session, collection, number):
    """Request each operation once for this number, in an order in which all can succeed; return their statuses."""
    sent = initiate(session, collection, number)
    verification = plivo.sends(number)[-1]
    code = {"otp": verification["code"]}
    member = f"{collection}{number}/"
    answers = {
        "initiate": sent,
        "complete": session.post(
            f"{collection}Verification/{verification['verification_uuid']}/", json=code, timeout=10
        ),
        "get": session.get(member, timeout=10),
        "list": session.get(collection, timeout=10),
        "update": session.post(member, json={"alias": "Office"}, timeout=10),
        "delete": session.delete(member, timeout=10),
    }
    return {operation: answer.status_code for operation, answer in answers.items()}


DONE = {"initiate": 201, "complete": 201, "get": 200, "list": 200, "update": 200, "delete": 204}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_misfortune_for_one_operation_spares_the_others(plivo, session, collection, operation):
    plivo.befall("500_after", share=1, operation=operation)

    assert each_operation(plivo, session, collection, fresh_number()) == DONE | {operation: 500}


@pytest.mark.parametrize("operation", OPERATIONS[1:])
def test_a_misfortune_of_the_account_can_be_limited_to_one_operation(plivo, session, collection, operation):
    unverified = dict.fromkeys(("get", "update", "delete"), 404) if operation == "complete" else {}
    plivo.befall("403", share=1, operation=operation)

    assert each_operation(plivo, session, collection, fresh_number()) == DONE | unverified | {operation: 403}


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one != "list"])
def test_a_misfortune_for_an_operation_on_a_number_spares_other_numbers(plivo, session, collection, operation):
    number = fresh_number()
    plivo.befall("502_after", share=1, operation=operation, number=number)

    assert each_operation(plivo, session, collection, fresh_number()) == DONE
    assert each_operation(plivo, session, collection, number) == DONE | {operation: 502}


def test_a_misfortune_changes_a_refusal_as_it_changes_a_success(plivo, session, collection):
    plivo.script(*({"kind": kind, "operation": "get"} for kind in ("500_after", "without_uuid", "empty")))

    answers = [session.get(f"{collection}{fresh_number()}/", timeout=10) for _ in range(4)]

    assert [(answer.status_code, len(answer.content) > 0) for answer in answers] == [
        (500, True),
        (404, True),
        (404, False),
        (404, True),
    ]


def test_a_delete_whose_misfortune_has_a_body_is_200(plivo, session, collection):
    kinds = {"html": 200, "empty": 204, "truncated": 204, "without_uuid": 204, "trickle": 204, "error_in_200": 200}
    plivo.script(*({"kind": kind, "operation": "delete"} for kind in kinds))
    seen = []
    for _ in kinds:
        number = fresh_number()
        initiate(session, collection, number)
        plivo.complete(number)
        seen.append(session.delete(f"{collection}{number}/", timeout=10).status_code)

    assert seen == list(kinds.values())


def test_a_script_with_a_mistake_arms_nothing(plivo, session):
    script = [{"kind": "503"}, {"kind": "429_seconds", "seconds": "5"}]
    answer = session.post(f"{plivo.root}/sandbox/misfortunes", json={"misfortunes": script}, timeout=10)

    assert answer.status_code == 400
    assert answer.json()["error"] == "misfortunes[1].seconds: '5': seconds, up to 3600"
    assert plivo.armed() == []


def test_the_shown_misfortunes_can_be_armed_again_as_they_are(plivo):
    plivo.script(
        {"kind": "trickle", "operation": "list"},
        {"kind": "401", "share": 0.2, "times": 7},
        {"kind": "503", "number": "14155550123"},
    )
    shown = plivo.armed()
    plivo.spare()
    plivo.script(*shown)

    assert (
        plivo.armed()
        == shown
        == [
            {"kind": "trickle", "times": 1, "seconds": 1.0, "operation": "list"},
            {"kind": "401", "share": 0.2, "times": 7},
            {"kind": "503", "times": 1, "number": "+14155550123"},
        ]
    )


def test_the_sandbox_lists_the_kinds_and_the_operations(plivo, session):
    about = session.get(f"{plivo.root}/sandbox/", timeout=10).json()

    assert about["misfortunes"] == list(MisfortuneKind)
    assert about["operations"] == list(OPERATIONS)
