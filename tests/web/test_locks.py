"""Who may call the front door: credentials, scopes, a rate for each, and nobody else."""

import contextlib
import json
import time

import pytest
import requests
import trustme
from support.front_door import FrontDoor, refusal
from support.harness import eventually, fresh_number, stopped

from ringproof.ledger.credentials import Scope, issue, revoke
from ringproof.policy import Rate
from worker.web.locks import NOBODY, Locks

EVERYWHERE = "0.0.0.0"  # noqa: S104  # where the server refuses to listen


@pytest.fixture
def served(environ, ledger, tmp_path):
    """Start front doors."""
    with contextlib.ExitStack() as stack:

        def start(*options, name="served", **changes):
            issued = issue(ledger, f"{name} {time.monotonic()}")
            log = tmp_path / f"{name}.log"
            return stack.enter_context(stopped(FrontDoor(log, environ | changes, tmp_path, issued, *options)))

        yield start


def test_a_caller_without_a_right_credential_learns_nothing(door, plivo):
    number = fresh_number()
    known = f"/Verification/{door.initiate(number).json()['verification_uuid']}/"
    other = "MA" + "X" * 18
    wrong = [
        None,
        (door.auth_id, "wrong"),
        (door.auth_id, ""),
        (other, door.token),
        ("", ""),
        (door.auth_id, "\u20ac".encode()),
    ]
    answers = [
        door.ask(method, path, {"otp": "1234"}, auth=auth)
        for auth in wrong
        for method, path in (("POST", known), ("POST", "/Verification/1/"), ("GET", f"/{number}"), ("GET", ""))
    ]
    bodies = [answer.json() for answer in answers]

    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {'Basic realm="Plivo"'}
    assert {(*sorted(body), body["error"]) for body in bodies} == {("api_id", "error", "authentication failed")}


def test_basic_is_the_only_scheme_and_the_path_names_the_caller(door):
    with requests.Session() as session:
        session.trust_env = False
        bearer = session.get(f"{door.resource}/", headers={"Authorization": f"Bearer {door.token}"}, timeout=30)
        elsewhere = session.get(
            f"{door.url}/v1/Account/{'MA' + 'X' * 18}/VerifiedCallerId/", auth=(door.auth_id, door.token), timeout=30
        )

    assert (bearer.status_code, elsewhere.status_code) == (401, 401)


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/Account/%0A", "/v1/Account/x%0A/VerifiedCallerId/"])
def test_all_of_v1_answers_in_plivos_form(door, path):
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(door.url + path, timeout=30)

    assert answer.status_code in {401, 404}
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json().keys() == {"api_id", "error"}


def test_a_revocation_holds_within_seconds_and_a_new_credential_at_once(door, ledger):
    caller = door.of(issue(ledger, "short-lived"))
    before = caller.ask("PUT")
    revoke(ledger, "short-lived")
    eventually(lambda: caller.ask("PUT").status_code == 401, within=5)

    assert before.status_code == 405


def test_a_scope_bounds_what_a_caller_may_do(door, ledger, plivo):
    reads = door.of(issue(ledger, "reads", [Scope.READ]))
    verifies = door.of(issue(ledger, "verifies", [Scope.VERIFY]))
    number = fresh_number()
    refused = [reads.initiate(number), reads.ask("DELETE", f"/{number}"), reads.complete("1", "1234")]
    refused += [verifies.ask("GET", f"/{number}"), verifies.ask("GET"), verifies.ask("POST", f"/{number}", {})]

    assert {refusal(answer) for answer in refused} == {(409, "scope")}
    assert reads.ask("GET").status_code == 200
    assert verifies.initiate(number).status_code in {201, 202}  # 202 if the machine is slow


def test_a_caller_who_may_not_read_does_not_learn_by_a_deletion_which_numbers_are_verified(door, ledger, plivo):
    verifies = door.of(issue(ledger, "deletes", [Scope.VERIFY]))
    verified = fresh_number()
    plivo.initiate(verified)
    plivo.complete(verified)
    known, unknown = verifies.ask("DELETE", f"/{verified}"), verifies.ask("DELETE", f"/{fresh_number()}")

    assert (known.status_code, unknown.status_code) == (204, 204)


def test_a_caller_with_too_many_requests_is_refused_and_others_are_not(served, ledger):
    door = served(RINGPROOF_DOOR_RATE="5/60s")
    answers = [door.ask("GET", "/hello") for _ in range(7)]
    other = door.of(issue(ledger, f"other {time.monotonic()}")).ask("GET", "/hello")

    assert [answer.status_code for answer in answers] == [404] * 5 + [409] * 2
    assert refusal(answers[-1]) == (409, "too_many_requests")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 12
    assert other.status_code == 404


def test_a_rate_lets_a_whole_number_through_at_once_and_then_one_after_the_other():
    locks = Locks(lambda: None, Rate.parse("2/1s"), is_open=True)
    waits = [locks.seconds_until_free(NOBODY) for _ in range(3)]

    assert waits[:2] == [0, 0]
    assert 0 < waits[2] <= 0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", EVERYWHERE], "would cross the network in clear"),
        (["--host", EVERYWHERE, "--no-auth"], "--no-auth is for 127.0.0.1 alone"),
        (["--behind-proxy", "--no-auth"], "--no-auth is for 127.0.0.1 alone"),
        (["--tls-cert", "nothing.pem"], "belong together"),
        (["--tls-cert", "nothing.pem", "--tls-key", "nothing.pem"], "cannot be used with its key"),
        (["--host", "192.0.2.1", "--behind-proxy"], "cannot be used"),
        ([], None),
    ],
)
def test_a_server_that_is_not_safe_does_not_start(run, idle, ledger, options, said):
    if said:
        issue(ledger, f"safe {options}"[:60])
    environ = {} if said else {"RINGPROOF_REDIS_URL": idle["RINGPROOF_REDIS_URL"]}
    done = run("serve", "--port", "0", *options, **environ)

    assert done.returncode == 1
    assert (said or "no program has a credential yet") in " ".join(done.stderr.split())
    assert "front door is at" not in done.stdout


def test_an_open_server_answers_programs_of_this_machine_and_no_page(served, plivo):
    door = served("--no-auth")
    number = fresh_number()
    resource = f"{door.url}/v1/Account/{'MA' + 'X' * 18}/VerifiedCallerId/"
    with requests.Session() as session:
        session.trust_env = False
        session.auth = ("MA" + "X" * 18, "any")
        sent = session.post(resource, json={"phone_number": number}, timeout=30)
        page = session.post(
            resource, data=json.dumps({"phone_number": number}), headers={"Origin": "https://evil.example"}, timeout=30
        )

    assert sent.status_code in {201, 202}  # 202 if the machine is slow
    assert page.status_code == 403


def test_a_server_with_tls_is_called_with_tls(served, tmp_path, plivo):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    door = served("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))

    assert door.url.startswith("https://")
    assert door.ask("GET", "/hello", verify=str(tmp_path / "ca.pem")).status_code == 404
