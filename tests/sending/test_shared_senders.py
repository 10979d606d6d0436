"""The senders of a process that several accounts share: no account takes those that the others need."""

import threading

import pytest
from support.harness import eventually

from ringproof.ledger.record import Lane
from worker.sending.senders import FOR_PEOPLE, SHARED_SENDERS, SenderThreads


@pytest.fixture
def threads():
    shared = SenderThreads(is_shared=True)
    yield shared
    shared.close()


def test_an_account_that_plivo_answers_slowly_leaves_half_of_what_is_free_to_the_others(threads):
    answers = threading.Event()

    def take_all(account):
        taken = 0
        while taken < SHARED_SENDERS and _free(threads, account):
            threads.submit(account, answers.wait)
            taken += 1
        return taken

    shares = [take_all(object()) for _ in range(3)]
    answers.set()
    eventually(lambda: threads.free == SHARED_SENDERS)

    assert shares[0] == (SHARED_SENDERS - FOR_PEOPLE) // 2
    assert shares[1] >= shares[0] // 2 - 1
    assert shares[2] > 10


def _free(threads, account):
    """How many an account may take now; 0 if it would have to wait."""
    found = []
    asker = threading.Thread(target=lambda: found.append(threads.wait_for_free(account, Lane.BULK, 1)), daemon=True)
    asker.start()
    asker.join(0.2)
    return found[0] if found else 0
