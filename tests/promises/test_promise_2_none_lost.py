"""No number is lost: each accepted number is in a final state, or waits or is in doubt, with a reason and a time.

The ledger knows every accepted number, and when it needs attention next, whatever happens to messages and workers.
tests/tasks/test_sweep.py moves the clock to those times.
"""

import os
import signal

from support.harness import Worker, eventually, fresh_number, stopped

from ringproof import confirm_verification, initiate_verification
from ringproof.ledger.record import Reason, State


def test_a_number_stays_known_when_its_message_is_lost(ledger, client):
    number = fresh_number()

    initiate_verification.apply_async((number,), queue="ringproof.scheduled")
    client.delete("ringproof.scheduled")

    assert ledger.read(number).state is State.QUEUED
    assert client.zscore("ringproof:agenda", number), "the time of its next attention"


def test_a_worker_killed_in_mid_send_leaves_a_record_with_the_end_of_its_lease_and_of_its_code(
    plivo, environ, tmp_path, ledger
):
    number = fresh_number()
    plivo.befall("timeout_after", number=number)  # Plivo sends the code, and does not answer

    with stopped(Worker(tmp_path / "worker.log", environ, tmp_path, "-Q", "ringproof.bulk", concurrency=1)) as worker:
        (child,) = worker.children()
        initiate_verification.apply_async((number,), queue="ringproof.bulk")
        eventually(lambda: plivo.sends(number), within=30)
        os.kill(child, signal.SIGKILL)
        eventually(lambda: worker.children() not in ([], [child]), within=30)  # another child has taken its place

    record = ledger.read(number)
    assert record.state is State.SENDING
    assert record.updated_at < record.lease_until < record.live_until
    assert len(plivo.sends(number)) == 1


def test_a_plivo_that_is_down_makes_numbers_wait_with_a_reason_and_a_time(plivo, worker, ledger):
    number = fresh_number()
    plivo.befall("503", number=number)

    waiting = initiate_verification.delay(number)
    eventually(lambda: waiting.state == "WAITING", within=30)

    assert waiting.info["reason"] == Reason.UNREACHABLE
    assert waiting.info["due_at"]
    assert plivo.sends(number) == []


def test_a_lost_yes_of_plivos_is_found(plivo, worker, ledger):
    number = fresh_number()
    initiate_verification.delay(number).get(timeout=30)
    (send,) = plivo.sends(number)
    plivo.befall("500_after", operation="complete")  # Plivo verifies the number, and then says 500

    confirm_verification.delay(number, send["code"]).get(timeout=30)

    assert ledger.read(number).state is State.VERIFIED
