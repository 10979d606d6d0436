"""No number, code or token appears in a log, an event or a repr. (tests/celery/test_logs.py covers DEBUG, too.)"""

import pytest
from support.harness import AUTH_TOKEN, fresh_number
from support.leaks import leaks

from ringproof import confirm_verification, initiate_verification
from ringproof.errors import InvalidNumber, InvalidRequest


def test_a_workers_log_has_one_line_for_each_outcome_without_the_number(plivo, worker):
    number = fresh_number()
    initiate_verification.delay(number, alias="Front desk").get(timeout=30)
    (send,) = plivo.sends(number)

    worker.until_logged(f"code_sent +1•••••••{number[-2:]} sms")

    assert not leaks(number[1:], worker.log)
    assert not leaks(AUTH_TOKEN, worker.log)
    assert not leaks(send["code"], worker.log)


def test_a_code_is_in_no_log_no_result_and_no_message(plivo, worker, client):
    """tests/celery/test_secrecy.py also reads all commands that Redis gets, the events, and the list of processes."""
    plivo.switch(code_length=8)
    number = fresh_number()
    initiate_verification.delay(number).get(timeout=30)
    (send,) = plivo.sends(number)

    result = confirm_verification.delay(number, send["code"])
    result.get(timeout=30)

    kept = client.get(f"celery-task-meta-{result.id}")
    assert not leaks(send["code"], worker.log, repr(result), kept)
    assert not leaks(number[1:], worker.log, repr(result), kept)
    assert not list(client.scan_iter("ringproof:code:*"))


def test_an_error_about_a_wrong_code_does_not_show_it():
    with pytest.raises(InvalidRequest) as wrong:
        confirm_verification.delay(fresh_number(), "123456789")

    assert "123456789" not in repr(wrong.value)


def test_a_result_prints_its_number_masked(ledger):
    number = fresh_number()
    verification = initiate_verification.AsyncResult(number)

    assert repr(verification) == f"<Verification: +1•••••••{number[-2:]}>"
    assert verification.id == number


def test_an_error_about_a_number_says_what_is_wrong_without_showing_it():
    with pytest.raises(InvalidNumber) as wrong:
        initiate_verification.delay("+1 415 555 01234 ext. 5")

    assert "4155550" not in "".join(filter(str.isdigit, str(wrong.value)))
    assert wrong.value.reason == "extension"
