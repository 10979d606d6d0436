"""A call that is repeated: as tenacity does it, although tenacity is asked only after a failure."""

import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from ringproof.tries import repeated


class Called:
    """What fails with each of these errors in turn, and then answers. It counts its calls, and the pauses between."""

    def __init__(self, *errors):
        self.errors, self.count, self.pauses = list(errors), 0, 0

    def __call__(self):
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        return "an answer"

    def three_times(self):
        return Retrying(
            retry=retry_if_exception_type(LookupError), stop=stop_after_attempt(3), sleep=self.pause, reraise=True
        )

    def pause(self, _seconds):
        self.pauses += 1


def test_a_call_that_answers_is_made_once_and_nothing_is_asked_how_to_repeat_it():
    called = Called()

    assert repeated(called, lambda: pytest.fail("nothing has failed")) == "an answer"
    assert called.count == 1


def test_a_failure_is_the_first_of_the_tries():
    once, always = Called(LookupError()), Called(*map(LookupError, range(9)))

    assert repeated(once, once.three_times) == "an answer"
    assert (once.count, once.pauses) == (2, 1)
    with pytest.raises(LookupError, match="2"):
        repeated(always, always.three_times)
    assert (always.count, always.pauses) == (3, 2)


def test_an_error_that_is_not_repeated_rises_at_once():
    called = Called(ValueError("wrong"))
    with pytest.raises(ValueError, match="wrong"):
        repeated(called, called.three_times)

    assert called.count == 1
