"""The calls of a program: what they take for a number, what they refuse, and what they never show."""

import copy
import inspect
import pickle
import traceback

import pytest
from celery import Celery, chain, chord, group, signature
from support.harness import fresh_number

from ringproof import confirm_verification, initiate_verification, is_verified, runtime
from ringproof.celery.confirmation import ConfirmationResult
from ringproof.errors import AnotherRequest, InvalidNumber, InvalidRequest
from ringproof.ledger.request import arguments

CODE = "48291357"


@pytest.fixture
def ask(monkeypatch):
    """`.delay` without a message, so that no worker takes the request."""
    monkeypatch.setattr("ringproof.celery.verification.send_message", lambda *_, **__: True)
    return initiate_verification.delay


def test_a_result_names_its_number_and_its_request(ask):
    number = fresh_number()
    verification = ask(number)
    newest = initiate_verification.AsyncResult(number)

    assert verification.id == f"{number}/{verification.request}"
    assert (verification.phone_number, verification.account) == (number, None)
    assert (newest.phone_number, newest.request) == (number, None)


def test_a_result_is_found_by_a_number_of_a_region(ask):
    verification = ask(fresh_number())
    national = verification.phone_number.removeprefix("+1")

    assert initiate_verification.AsyncResult(national, region="US").phone_number == verification.phone_number
    assert runtime.region() is None
    with pytest.raises(InvalidNumber):
        initiate_verification.AsyncResult(national)
    with pytest.raises(InvalidRequest, match="region"):
        initiate_verification.AsyncResult(national, region="XX")
    with pytest.raises(InvalidRequest, match="'regoin' is none of them"):
        initiate_verification.AsyncResult(national, regoin="US")


def test_a_number_with_a_slash_is_no_id():
    assert initiate_verification.AsyncResult("+4930/1234567").id == "+49301234567"


def test_an_id_stands_for_its_number(ask):
    verification = ask(fresh_number())

    assert ask(verification.id).id == verification.id
    assert ask(phone_number=verification.id, alias="Front desk").is_anothers
    assert is_verified(verification.id) is False


@pytest.mark.parametrize(
    "call", [initiate_verification.delay, is_verified, lambda id_: confirm_verification.delay(id_, CODE)]
)
def test_an_id_of_another_account_is_refused(call):
    with pytest.raises(InvalidRequest, match="another account's request") as caught:
        call("acme:+14155550123/1764374400")

    assert caught.value.field == "account"
    assert "4155550123" not in str(caught.value)


@pytest.mark.usefixtures("worker")
def test_an_id_in_the_numbers_place_names_the_request_of_the_code(plivo, ledger, publish):
    publish(cooldown_ms=0)
    number = fresh_number()
    first = initiate_verification.delay(number)
    first.get(timeout=30)
    second = initiate_verification.delay(number, resend=True)
    second.get(timeout=30)
    code = plivo.sends(number)[-1]["code"]

    with pytest.raises(AnotherRequest):
        confirm_verification.delay(first.id, code).get(timeout=30)
    with pytest.raises(InvalidRequest, match="request"):
        confirm_verification.delay(first.id, code, request=second.id)
    confirmed = confirm_verification.delay(second.id, code, request=second.id)
    assert confirmed.get(timeout=30)["state"] == "verified"
    assert isinstance(confirmed, ConfirmationResult)
    assert confirm_verification.AsyncResult(confirmed.id).get(timeout=30) == confirmed.get()


def test_the_id_of_a_verification_is_none_of_a_confirmation():
    with pytest.raises(InvalidRequest, match=r"initiate_verification\.AsyncResult") as caught:
        confirm_verification.AsyncResult("+14155550123/1764374400")

    assert "4155550123" not in str(caught.value)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((), {"code": CODE}),
        ((CODE,), {}),
        ((CODE, "+14155550456"), {}),
        (("+14155550456", "US", CODE), {}),
        (("+14155550456", CODE, CODE), {}),
        (("+14155550456", CODE), {"request": CODE}),
        (("+14155550456", CODE), {"account": CODE}),
        (("+14155550456", CODE), {"request": None}),
        (("+14155550456", CODE), {"coed": CODE}),
        (("+14155550456", CODE), {"phone_number": "+14155550456"}),
        (("+14155550123", int(CODE)), {}),
        (("+14155550123", [CODE]), {}),
        ((14155550456, CODE), {}),
        (("+14155550456", CODE, None, None, None, CODE), {}),
    ],
)
def test_wrong_arguments_of_a_confirmation_get_an_error_that_shows_neither_number_nor_code(args, kwargs):
    with pytest.raises(InvalidRequest) as caught:
        confirm_verification.delay(*args, **kwargs)

    shown = f"{caught.value!r} {caught.value} {''.join(traceback.format_exception_only(caught.value))}"
    assert not [part for part in ("4155550456", CODE, CODE[-2:]) if part in shown]


@pytest.mark.parametrize("name", inspect.signature(arguments).parameters)
def test_help_and_editors_know_each_argument(name):
    for call in (initiate_verification.delay, arguments):
        assert name in inspect.signature(call).parameters


NUMBER = "+14155550456"
HOST = Celery("a host project", set_as_current=False)
MINE = HOST.signature("mine", (1,))


def confirming(*args, **kwargs):
    return confirm_verification.s(*args or (NUMBER, CODE), **kwargs)


@pytest.mark.parametrize(
    "signature",
    {
        "s": confirming,
        "by names": lambda: confirm_verification.s(phone_number=NUMBER, code=CODE),
        "si": lambda: confirm_verification.si(NUMBER, CODE),
        "signature": lambda: confirm_verification.signature((NUMBER, CODE)),
        "completed": lambda: confirm_verification.s(request=NUMBER).clone((NUMBER, CODE)),
        "set": lambda: confirming().set(queue="ringproof.bulk"),
        "copy": lambda: copy.copy(confirming()),
        "deep copy": lambda: copy.deepcopy(confirming()),
        "pickle": lambda: pickle.loads(pickle.dumps(confirming())),
        "of a dict": lambda: signature(dict(confirming())),
        "by its name": lambda: signature("confirm_verification", (NUMBER, CODE)),
        "by its name in the host": lambda: HOST.signature("confirm_verification", (NUMBER, CODE)),
        "chain": lambda: chain(confirming(), MINE),
        "chained": lambda: MINE | confirming(),
        "group": lambda: group(confirming(), initiate_verification.s(NUMBER)),
        "chord": lambda: chord([confirming()], MINE),
        "chord's body": lambda: chord([MINE], confirming()),
        "first step": lambda: initiate_verification.s(NUMBER, alias="Front desk"),
    }.values(),
)
def test_a_signature_prints_neither_number_nor_code(signature):
    made = signature()

    assert not [secret for secret in (NUMBER, CODE) for text in (repr(made), str(made), f"{made}") if secret in text]


@pytest.mark.parametrize("made", [confirming(), copy.deepcopy(confirming()), pickle.loads(pickle.dumps(confirming()))])
def test_the_variables_of_a_signature_have_no_code(made):
    assert CODE not in dict.__repr__(made)
    assert made.args[1].get_secret_value() == CODE


@pytest.mark.usefixtures("worker")
def test_a_signature_confirms(plivo):
    number = fresh_number()
    initiate_verification.delay(number).get(timeout=30)
    made = pickle.loads(pickle.dumps(confirm_verification.s(number, plivo.sends(number)[-1]["code"])))

    assert made.delay().get(timeout=30)["state"] == "verified"
