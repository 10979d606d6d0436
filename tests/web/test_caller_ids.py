"""Get, list, update and delete at the front door, and the paths and methods that it knows."""

import pytest
from support.front_door import FrontDoor, refusal
from support.harness import fresh_number, stopped

from ringproof.ledger import control
from ringproof.ledger.credentials import issue

pytestmark = pytest.mark.usefixtures("plivo")
FIELDS = {*("alias", "country", "created_at", "modified_at", "phone_number", "subaccount", "verification_uuid")}


@pytest.fixture
def number(ledger):
    control.resume(ledger)
    return fresh_number()


@pytest.fixture
def verified(plivo, number):
    """A number that another program has had verified."""
    plivo.initiate(number, alias="Front desk")
    plivo.complete(number)
    return number


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("written", ["+{}", "%2B{}", "{}"])
def test_a_verified_number_is_shown_and_changed_however_it_is_written(door, verified, written, slash):
    path = f"/{written.format(verified[1:])}{slash}"
    shown, changed = door.ask("GET", path, ""), door.ask("POST", path, {"alias": "Shop", "subaccount": None})

    assert (shown.status_code, changed.status_code) == (200, 200)
    assert shown.json().keys() == changed.json().keys() == {*FIELDS, "api_id"}
    assert (shown.json()["alias"], changed.json()["alias"]) == ("Front desk", "Shop")
    assert shown.json()["subaccount"] == ""


def test_a_list_has_plivos_pages_with_the_callers_own_links(door, plivo, number):
    numbers = [fresh_number() for _ in range(3)]
    for one in numbers:
        plivo.initiate(one, alias="Shop")
        plivo.complete(one)
    page = door.ask("GET", "/?limit=2&alias=Shop&id=7&sub_account=").json()
    last = door.ask("GET", "?limit=2&offset=2&alias=Shop").json()

    assert [one["phone_number"] for one in (*page["objects"], *last["objects"])] == numbers[::-1]
    assert page["objects"][0].keys() == {*FIELDS, "resource_uri"}
    assert page["meta"]["total_count"] == 3
    assert page["meta"]["next"] == f"/v1/Account/{door.auth_id}/VerifiedCallerId/?alias=Shop&limit=2&offset=2"
    assert (page["meta"]["previous"], last["meta"]["next"]) == (None, None)


@pytest.mark.parametrize("query", ["limit=21", "limit=x", "offset=-1"])
def test_a_page_that_plivo_does_not_have_is_refused(door, query):
    assert door.ask("GET", f"/?{query}").status_code == 400


def test_an_unknown_number_is_not_found(door, number):
    for method, path in [("GET", f"/{number}"), ("POST", f"/{number}/"), ("DELETE", f"/{number}"), ("GET", "/hello")]:
        assert refusal(door.ask(method, path, {"alias": "Shop"})) == (404, "unknown")


def test_a_deletion_reaches_plivo_and_the_ledger(door, plivo, ledger, number):
    door.complete(door.initiate(number).json()["verification_uuid"], plivo.sends(number)[0]["code"])
    was_verified = ledger.read(number).is_verified
    deleted = door.ask("DELETE", f"/{number}", "")

    assert was_verified
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert deleted.headers["Content-Type"] == "application/json"
    assert not ledger.read(number).is_verified
    assert door.ask("GET", f"/{number}").status_code == 404
    assert door.ask("DELETE", f"/{number}").status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [("500_before", "unknown"), ("503_retry_after", "unreachable"), ("429_seconds", "throttled"), ("html", "unknown")],
)
def test_a_failure_of_plivos_is_a_409(door, plivo, ledger, number, method, kind, reason):
    plivo.initiate(number)
    plivo.complete(number)
    plivo.befall(kind, operation={"GET": "get", "POST": "update", "DELETE": "delete"}[method])
    answer = door.ask(method, f"/{number}", {"alias": "Shop"})
    control.resume(ledger)
    ledger.client.delete(ledger.keys.pace)

    assert refusal(answer) == (409, reason)
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_silence_of_plivos_is_answered_in_time(door, plivo, verified):
    plivo.switch(latency_ms=6000)
    answer = door.ask("GET", f"/{verified}")

    assert refusal(answer) == (409, "unanswered")
    assert answer.elapsed.total_seconds() < 4


def test_a_door_without_plivos_credentials_says_so_and_still_sends_codes(environ, worker, plivo, ledger, tmp_path):
    environ = {name: value for name, value in environ.items() if not name.startswith("PLIVO_AUTH")}
    number = fresh_number()
    with stopped(FrontDoor(tmp_path / "door.log", environ, tmp_path, issue(ledger, "bare"))) as door:
        asked = door.ask("GET", "/")
        sent = door.initiate(number)
        deleted = door.ask("DELETE", f"/{number}")

    assert refusal(asked) == (409, "no_plivo")
    assert sent.status_code == 201
    assert deleted.status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "", "POST, GET"),
        ("HEAD", "", "POST, GET"),
        ("OPTIONS", "/", "POST, GET"),
        ("PATCH", "/14155550123", "GET, POST, DELETE"),
        ("GET", "/Verification/1/", "POST"),
    ],
)
def test_another_method_is_refused_with_those_there_are(door, method, path, allowed):
    answer = door.ask(method, path)

    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("path", ["//", "/1/2", "/Verification", "/Verification/", "/Verification/1/2"])
def test_another_path_is_not_found_or_no_number(door, path):
    assert door.ask("GET", path).status_code == 404


def test_a_body_that_is_too_large_or_no_object_is_refused(door):
    for body in (b" " * 65_537, b"[]", b"{", b"", b"1"):
        assert door.ask("POST", "/", data=body).status_code == 400
