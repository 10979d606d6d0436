"""The front door of several accounts: a caller acts in its own account's ledger, and reaches nothing of another's."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from support.api import Api
from support.front_door import FrontDoor, refusal
from support.harness import eventually, fresh_number, stopped
from support.page import Visitor, texts
from support.roster_of_batch import import_rows
from support.two_accounts import ACME, GLOBEX, TOKENS, UUID, TwoAccounts
from support.wire import Server

from ringproof.batches.summary import batch_summary
from ringproof.ledger.confirmation import Source, mark_verified
from ringproof.ledger.credentials import credentials, find, issue, revoke
from ringproof.ledger.record import State
from ringproof.plivo.client import VerifiedNumber

ALL = (None, "acme", "globex")
OF_A_BATCH = (("GET", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/cancel"), ("GET", "/export"))
NOBODY = b'HTTP/1.1 404 NOT FOUND\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{"error": "not found"}'


@pytest.fixture(scope="module")
def plivo():
    """What plays Plivo for both accounts, and remembers who asked."""
    server = Server(NOBODY)
    yield server
    server.close()


@pytest.fixture(scope="module")
def accounts(tmp_path_factory, plivo):
    two = TwoAccounts(tmp_path_factory.mktemp("accounts"), base_url=plivo.url())
    yield two
    two.close()


@pytest.fixture(scope="module")
def issued(accounts):
    """The credential of each account's program."""
    return {name: issue(accounts.ledgers[None], f"program of {name}", account=name) for name in ALL}


@pytest.fixture(scope="module")
def door(accounts, issued, tmp_path_factory):
    folder = tmp_path_factory.mktemp("door")
    with stopped(FrontDoor(folder / "door.log", os.environ | accounts.environ, folder, issued[None])) as running:
        yield running
        assert not [token for token in TOKENS.values() if token in running.log]


@pytest.fixture
def callers(door, issued):
    """A client of Plivo's for each account."""
    return {name: door.of(one) for name, one in issued.items()}


@pytest.fixture
def apis(door, issued):
    clients = {name: Api(door.url, one.token) for name, one in issued.items()}
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture
def visitors(door, issued):
    people = {name: Visitor(door.url) for name in ALL}
    for name, person in people.items():
        assert person.log_in(issued[name]).status_code == 200
    yield people
    for person in people.values():
        person.close()


def initiate(accounts, callers, name, number):
    """Ask for a code as a client of Plivo's does, have it sent, and return the answer."""
    ledger = accounts.ledgers[name]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(callers[name].initiate, number)
        accounts.send(name, number, eventually(lambda: ledger.read(number)).request)
        return answer.result()


@pytest.mark.parametrize("name", ALL)
def test_a_request_goes_to_the_ledger_of_its_caller_alone(accounts, callers, name):
    number = fresh_number()
    answer = initiate(accounts, callers, name, number)

    messages = accounts.ledgers[None].client.lrange("ringproof.interactive", 0, 0)
    headers = json.loads(messages[0])["headers"]
    assert answer.status_code == 201, answer.text
    assert [other for other in ALL if accounts.ledgers[other].read(number)] == [name]
    assert (f"'account': '{name}'" in headers["kwargsrepr"]) is (name is not None)


def test_one_number_is_asked_for_by_all_accounts_each_for_itself(accounts, callers):
    number = fresh_number()
    answers = [initiate(accounts, callers, name, number) for name in ALL]

    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.json()["verification_uuid"] for answer in answers}) == 3


def test_the_uuid_of_another_account_is_unknown(accounts, callers, apis):
    number = fresh_number()
    uuid = initiate(accounts, callers, "acme", number).json()["verification_uuid"]

    for stranger in (None, "globex"):
        assert refusal(callers[stranger].complete(uuid, "123456"))[0] == 404
        assert apis[stranger].get(f"/verifications/{uuid}").status_code == 404
        assert apis[stranger].post(f"/verifications/{uuid}/confirm", json={"code": "123456"}).status_code == 404
        assert apis[stranger].delete(f"/verifications/{uuid}").status_code == 404
    assert apis["acme"].get(f"/verifications/{uuid}").json()["state"] == "code_sent"


def test_the_id_of_another_account_can_be_neither_read_nor_taken_back(accounts, apis):
    number = fresh_number()
    asked = apis["acme"].ask_for_code(number)

    for stranger in (None, "globex"):
        assert apis[stranger].get(f"/verifications/{asked}", params={"wait": 1}).status_code == 404
        assert apis[stranger].delete(f"/verifications/{asked}").status_code == 404
    assert apis["acme"].delete(f"/verifications/{asked}").status_code == 204
    assert accounts.ledgers["acme"].read(number).state is State.CANCELLED


@pytest.mark.parametrize("name", ALL)
def test_a_program_waits_for_the_code_of_its_own_account(accounts, apis, name):
    number = fresh_number()
    asked = apis[name].ask_for_code(number)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(apis[name].sent, asked)
        accounts.send(name, number, accounts.ledgers[name].read(number).request)

        assert waits.result()["state"] == "code_sent"


@pytest.mark.parametrize("field", ["account", "prefix", "ledger"])
def test_no_field_of_a_request_names_another_account(apis, callers, accounts, field):
    number = fresh_number()
    asked = apis["globex"].post("/verifications", json={"phone_number": number, field: "acme"})
    callers["globex"].initiate(number, **{field: "acme"})

    assert asked.status_code == 422
    assert accounts.ledgers["acme"].read(number) is None


def test_an_idempotency_key_is_a_credentials_own(apis, accounts):
    numbers = {name: fresh_number() for name in ALL}
    asked = [
        apis[name].post("/verifications", json={"phone_number": number}, headers={"Idempotency-Key": "the-same"})
        for name, number in numbers.items()
    ]

    assert [answer.status_code for answer in asked] == [202, 202, 202]
    assert all(accounts.ledgers[name].read(number) for name, number in numbers.items())


def test_whether_a_number_is_verified_is_its_accounts_own(apis, accounts):
    number = fresh_number()
    mark_verified(
        accounts.ledgers["acme"], [VerifiedNumber(number, "", "US", None, None, "", UUID)], source=Source.LIST
    )

    is_verified = {
        name: apis[name].post("/numbers/lookup", json={"phone_number": number}).json()["is_verified"] for name in ALL
    }
    assert is_verified == {None: False, "acme": True, "globex": False}


def test_a_batch_of_another_account_is_unknown_and_one_of_its_name_is_another(apis, accounts):
    import_rows(accounts.ledgers["acme"], "only acmes", [fresh_number()])
    for name in ("acme", "globex"):
        import_rows(accounts.ledgers[name], "spring", [fresh_number() for _ in range(1 + (name == "acme"))])

    for stranger in (None, "globex"):
        for method, path in (
            ("GET", ""),
            ("POST", "/pause"),
            ("POST", "/resume"),
            ("POST", "/cancel"),
            ("GET", "/export"),
        ):
            assert apis[stranger].request(method, f"/batches/only acmes{path}").status_code == 404
    assert {name: apis[name].get("/batches/spring").json()["rows"] for name in ("acme", "globex")} == {
        "acme": 2,
        "globex": 1,
    }
    assert apis["globex"].post("/batches/spring/cancel").json()["state"] == "cancelled"
    assert batch_summary(accounts.ledgers["acme"], "spring").state == "running"
    assert len(apis["acme"].get("/batches/spring/export").text.splitlines()) == 3


def test_an_upload_becomes_a_batch_of_its_callers_account(apis, accounts):
    upload = {"params": {"name": "uploaded", "dry_run": "false"}, "headers": {"Content-Type": "text/csv"}}
    answer = apis["globex"].post("/batches", data=f"phone\n{fresh_number()}\n", **upload)

    assert answer.status_code == 201, answer.text
    assert [name for name in ALL if batch_summary(accounts.ledgers[name], "uploaded")] == ["globex"]


def lines_of(stream):
    """The lines of a stream that is alive: from now on its events come."""
    lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
    next(line for line in lines if line.startswith(":"))
    return lines


def numbers_until(lines, number):
    """The numbers that a stream names, up to the first event of this one."""
    seen = []
    while number not in seen:
        line = next(lines)
        if line.startswith("data: "):
            seen.append(json.loads(line.removeprefix("data: "))["data"].get("phone_number"))
    return seen


def test_a_stream_has_the_events_of_its_own_account_alone(apis, accounts, door, issued):
    """Also one that begins at an event of another account's."""
    anothers, own, later = fresh_number(), fresh_number(), fresh_number()
    with (
        apis["acme"].get("/events", stream=True) as of_acme,
        apis["globex"].get("/events", stream=True) as of_globex,
    ):
        streams = [lines_of(of_acme), lines_of(of_globex)]
        accounts.send("acme", anothers)
        accounts.send("globex", own)

        assert set(numbers_until(streams[0], anothers)) == {anothers}
        assert set(numbers_until(streams[1], own)) == {own}
    acme = accounts.ledgers["acme"]
    first = acme.client.xrange(acme.keys.outbox)[0][0]
    with (
        Api(door.url, issued["globex"].token) as again,
        again.get("/events", stream=True, headers={"Last-Event-ID": first}) as stream,
    ):
        accounts.send("globex", later)
        assert anothers not in numbers_until(stream.iter_lines(chunk_size=1, decode_unicode=True), later)


@pytest.mark.parametrize(("name", "auth_id"), [("acme", ACME), ("globex", GLOBEX)])
def test_plivo_is_asked_with_the_credentials_of_the_callers_account(callers, plivo, name, auth_id):
    before = len(plivo.requests)
    answers = [
        callers[name].ask("GET", f"/{fresh_number()[1:]}/"),
        callers[name].ask("DELETE", f"/{fresh_number()[1:]}/"),
    ]

    asked = plivo.requests[before:]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert asked
    assert all(f"/Account/{auth_id}/".encode() in request for request in asked)


def test_a_page_shows_the_account_of_its_login_and_no_other(visitors, accounts):
    number = fresh_number()
    accounts.send("acme", number)
    import_rows(accounts.ledgers["acme"], "secret spring", [fresh_number()])
    seen = {name: texts(person.get("/")) for name, person in visitors.items()}

    assert ["secret spring" in seen[name] for name in ALL] == [False, True, False]
    assert ["account acme" in seen[name] for name in ALL] == [False, True, False]
    assert ["account globex" in seen[name] for name in ALL] == [False, False, True]
    for stranger in (None, "globex"):
        assert visitors[stranger].get("/page/batches/secret spring").status_code == 404
        assert visitors[stranger].submit("/page/batches/secret spring/cancel").status_code == 404
        assert visitors[stranger].submit("/page/numbers", number=number).status_code == 404
        assert visitors[stranger].submit("/page/numbers", batch="secret spring", row="sms:0").status_code == 404
    assert batch_summary(accounts.ledgers["acme"], "secret spring").state == "running"


def test_the_address_of_a_story_is_of_no_use_to_another_account(visitors, accounts):
    number = fresh_number()
    accounts.send("acme", number)
    story = visitors["acme"].submit("/page/numbers", number=number)

    assert story.status_code == 200
    for stranger in (None, "globex"):
        assert visitors[stranger].get(story.url).status_code == 404
        assert visitors[stranger].submit(story.url.removeprefix(visitors[stranger].url)).status_code == 404


def test_open_pages_share_their_readings_with_their_own_account_alone(visitors, accounts):
    import_rows(accounts.ledgers["acme"], "shared name", [fresh_number(), fresh_number()])
    import_rows(accounts.ledgers["globex"], "shared name", [fresh_number()])
    streams = {name: visitors[name].events("/page/live?view=batch&name=shared name") for name in ("acme", "globex")}
    first = {name: texts(next(stream)[1]["batch"]) for name, stream in streams.items()}
    overviews = [next(visitors[name].events("/page/live?view=overview"))[1]["batches"] for name in ("acme", "globex")]

    assert "2 rows" in first["acme"]
    assert "1 row" in first["globex"]
    assert ["secret spring" in overview for overview in overviews].count(True) <= 1


def test_a_pause_on_the_page_stops_its_own_account_alone(visitors, accounts):
    visitors["acme"].submit("/page/sending/pause", reason="ours")
    paused = [name for name in ALL if accounts.ledgers[name].client.exists(accounts.ledgers[name].keys.pauses)]
    visitors["acme"].submit("/page/sending/resume")

    assert paused == ["acme"]


def test_an_account_that_is_gone_is_refused_and_the_others_are_served(accounts, door, apis, callers):
    issued = issue(accounts.ledgers[None], "of a third", account="third")
    try:
        with Api(door.url, issued.token) as api, Visitor(door.url) as person:
            answer = api.get("/batches/spring")
            at_door = door.of(issued).initiate(fresh_number())
            page = person.log_in(issued)
        still = callers["acme"].ask("GET", f"/{fresh_number()[1:]}/")
    finally:
        revoke(accounts.ledgers[None], "of a third")

    assert (answer.status_code, answer.json()["reason"]) == (503, "unknown_account")
    assert refusal(at_door) == (409, "no_account")
    assert page.status_code == 503
    assert still.status_code == 404


def test_a_redis_of_one_account_that_is_away_concerns_that_account_alone(tmp_path):
    two = TwoAccounts(tmp_path)
    issued = {name: issue(two.ledgers[None], str(name), account=name) for name in ALL}
    with stopped(FrontDoor(tmp_path / "door.log", os.environ | two.environ, tmp_path, issued[None])) as running:
        two.other.kill()
        with Api(running.url, issued["globex"].token) as globex, Api(running.url, issued["acme"].token) as acme:
            away = globex.post("/verifications", json={"phone_number": fresh_number()})
            number = fresh_number()
            asked = acme.ask_for_code(number)

            assert away.status_code == 503
            assert acme.get(f"/verifications/{asked}").status_code == 200
            assert running.of(issued["globex"]).initiate(fresh_number()).status_code == 409
    two.close()


def test_a_door_that_knows_no_accounts_lets_no_credential_of_one_in(accounts, issued):
    """That of 0.1.0 reads these fields, and would take the default account's ledger for the caller's."""
    stored = accounts.ledgers[None].client.hgetall(accounts.ledgers[None].keys.credentials)
    digests = {name: json.loads(stored[f"program of {name}"])["digest"] for name in ALL}

    assert digests["acme"] == digests["globex"] == ""
    assert digests[None]
    assert find(credentials(accounts.ledgers[None]), issued["acme"].token).account == "acme"


def test_the_keys_of_the_accounts_are_apart(accounts):
    """No key of an account begins as one of the default account's, which patterns find."""
    with redis.Redis.from_url(accounts.server.url, decode_responses=True) as client:
        names = set(client.scan_iter(match="ringproof:number:*"))

    assert names
    assert not [name for name in names if "acme" in name]
