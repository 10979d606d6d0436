"""`Idempotency-Key`: a request that is sent again has no second code sent."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.harness import eventually, fresh_number

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def number():
    return fresh_number()


def ask(api, number, key, **fields):
    return api.post("/verifications", json={"phone_number": number, **fields}, headers={"Idempotency-Key": key})


@pytest.fixture
def sent(api, plivo, publish, number):
    """A number with a live code, for which another one could be sent at once."""
    publish(cooldown_ms=0)
    assert not plivo.sends(number)
    verification = api.ask_for_code(number)
    api.sent(verification)
    return verification


def test_a_repeated_resend_sends_one_more_code_and_not_two(api, plivo, number, sent):
    first = ask(api, number, "order-17", resend=True)
    api.sent(first.json()["id"])
    again = ask(api, number, "order-17", resend=True)
    api.sent(again.json()["id"])

    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["Location"] == first.headers["Location"]
    assert first.json()["id"] != sent
    assert len(plivo.sends(number)) == 2


@pytest.mark.usefixtures("sent")
def test_another_key_is_another_request(api, plivo, number):
    for key in ("another-1", "another-2"):
        api.sent(ask(api, number, key, resend=True).json()["id"])

    assert len(plivo.sends(number)) == 3


def test_the_same_key_many_times_at_once_is_one_request(api_with, plivo, number):
    apis = [api_with() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda api: ask(api, number, "at-once"), apis))
    apis[0].sent(answers[0].json()["id"])

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert all(api.sent(answer.json()["id"])["state"] == "code_sent" for api, answer in zip(apis, answers, strict=True))
    assert len(plivo.sends(number)) == 1


def test_the_same_key_with_another_body_is_refused(api, plivo, number):
    ask(api, number, "one-key")
    other = fresh_number()
    refused = [ask(api, other, "one-key"), ask(api, number, "one-key", resend=True)]

    assert {(answer.status_code, answer.json()["reason"]) for answer in refused} == {(422, "idempotency_key_reused")}
    assert not plivo.sends(other)


def test_the_same_body_in_another_spelling_is_the_same(api, number):
    spelled = f'{{"resend": false, "channel":"sms", "phone_number": "{number}"}}'
    headers = {"Idempotency-Key": "spelling", "Content-Type": "application/json"}
    again = api.post("/verifications", data=spelled, headers=headers)

    assert ask(api, number, "spelling").json() == again.json()


def test_a_key_belongs_to_its_credential(api_with, number):
    mine, others = (api_with(program=program) for program in ("mine", "other's"))
    other = fresh_number()

    assert (ask(mine, number, "anybody").status_code, ask(others, other, "anybody").status_code) == (202, 202)


def test_a_refused_request_can_be_sent_again_with_its_key(api, plivo, number, publish):
    api.sent(api.ask_for_code(number))
    publish(cooldown_ms=86_400_000)
    early = ask(api, number, "resend-1", resend=True)
    publish(cooldown_ms=0)
    later = ask(api, number, "resend-1", resend=True)
    api.sent(later.json()["id"])

    assert (early.status_code, early.json()["reason"], later.status_code) == (429, "cooling_down", 202)
    assert int(early.headers["Retry-After"]) > 80_000
    assert len(plivo.sends(number)) == 2


def test_redis_keeps_neither_the_key_nor_the_body(api, ledger, number):
    before = set(ledger.client.scan_iter(match=ledger.keys.idempotency("*")))
    ask(api, number, "remember-me", alias="Front desk")
    [entry] = set(ledger.client.scan_iter(match=ledger.keys.idempotency("*"))) - before
    kept = f"{entry} {ledger.run('get', entry)}"

    assert not [text for text in ("remember-me", "Front desk", number[1:]) if text in kept]
    assert 86_000 < ledger.run("ttl", entry) <= 86_400


@pytest.mark.parametrize("key", ["", "two words", "x" * 256])
def test_a_key_that_is_none_is_refused(api, number, key):
    refused = ask(api, number, key)

    assert (refused.status_code, refused.json()["field"]) == (422, "Idempotency-Key")


def test_a_front_door_that_is_killed_in_mid_request_loses_no_answer(api, ledger, plivo, number):
    """As after a kill between the ledger's answer and this one's: the same key finds the same request."""
    first = ask(api, number, "killed").json()["id"]
    eventually(lambda: ledger.run("delete", ledger.keys.request_id(first)))
    again = ask(api, number, "killed").json()["id"]

    assert again == first
    assert api.sent(again)["state"] == "code_sent"
    assert len(plivo.sends(number)) == 1
