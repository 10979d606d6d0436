"""Whatever an application does, the eager mode answers as a real Redis, a real worker and the sandbox do."""

from datetime import datetime
from io import BytesIO

import pytest
from celery.exceptions import TimeoutError as CeleryTimeoutError

from ringproof import confirm_verification, initiate_verification, is_verified, verified_numbers
from ringproof.batches.importing import import_roster
from ringproof.errors import RingproofError
from ringproof.rosters.roster import open_roster
from ringproof.testing import eager

NUMBER = "+14155550123"
SECONDS = 5


class Real:
    """The fixtures `ringproof` and `phones`."""

    def __init__(self, ringproof, phones):
        self.travel, self.misfortune, self.settle = ringproof.travel, ringproof.misfortune, ringproof.settle
        self.last_code = phones.last_code
        self._inbox = phones.inbox

    def codes(self, number):
        return [message.code for message in self._inbox(number)]


class Eager:
    def __init__(self, sent):
        self.travel, self.misfortune, self.settle = sent.travel, sent.misfortune, sent.settle
        self._sent = sent

    def codes(self, number):
        return [one.code for one in self._sent.to(number)]

    def last_code(self, number):
        return self.codes(number)[-1]


def outcome(call, *args, **kwargs):
    """The word for what a call did: the state it returned, or its error with all that a caller can read of it."""
    try:
        result = call(*args, **kwargs)
        answer = result.get(timeout=SECONDS)
    except CeleryTimeoutError:
        return f"{result.state}: nothing yet"
    except RingproofError as error:
        facts = {
            name: "a time" if isinstance(value, datetime) else value
            for name, value in vars(error).items()
            if name in {"reason", "limit", "tries_left", "until", "locked_until", "state", "detail", "field"}
        }
        return f"{type(error).__name__} {facts}" if facts else type(error).__name__
    shown = {name: value for name, value in answer.items() if name in {"state", "channel", "country", "attempts"}}
    return f"{type(result).__name__} {result.state} {shown} {sorted(answer)}"


def ask(*args, **kwargs):
    return outcome(initiate_verification.delay, *args, **kwargs)


def enter(code, number=NUMBER, **kwargs):
    return outcome(confirm_verification.delay, number, code, **kwargs)


def wrong(code):
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


def a_person_verifies(world):
    yield ask(NUMBER, alias="Front desk", channel="sms")
    yield is_verified(NUMBER)
    yield enter(world.last_code(NUMBER))
    yield is_verified(NUMBER), [(one.alias, one.country) for one in verified_numbers()]
    yield ask(NUMBER), len(world.codes(NUMBER))
    yield enter(world.last_code(NUMBER))


def wrong_requests(_):
    yield ask("555-0199")
    yield ask("+1415")
    yield ask(NUMBER, channel="pigeon")
    yield ask(NUMBER, alias="x" * 300)
    yield ask(NUMBER, subaccount="nobody")
    yield ask("020 7946 0958", region="GB")
    yield enter("12")
    yield enter("1234", request="another")


def wrong_codes_lock(world):
    yield ask(NUMBER)
    for _ in range(6):
        yield enter(wrong(world.last_code(NUMBER)))
    yield enter(world.last_code(NUMBER))
    world.travel(minutes=16)
    yield ask(NUMBER)
    for _ in range(5):
        yield enter(wrong(world.last_code(NUMBER)))
    yield enter(world.last_code(NUMBER))


def codes_expire(world):
    first = initiate_verification.delay(NUMBER)
    yield first.get(timeout=SECONDS)["state"]
    world.travel(minutes=16)
    yield enter(world.last_code(NUMBER)), first.state, first.get(timeout=SECONDS)["state"]
    second = initiate_verification.delay(NUMBER)
    yield second.get(timeout=SECONDS)["state"], first.state, len(world.codes(NUMBER))
    yield enter(world.last_code(NUMBER), request=first.id)
    yield enter(world.last_code(NUMBER), request=second.id)


def resends_cool_down_and_are_capped(world):
    yield ask(NUMBER)
    yield ask(NUMBER), len(world.codes(NUMBER))
    yield ask(NUMBER, resend=True)
    for _ in range(5):
        world.travel(seconds=61)
        yield ask(NUMBER, resend=True), len(world.codes(NUMBER))
    yield enter(world.last_code(NUMBER))


def nothing_is_pending(_):
    yield enter("123456")
    yield initiate_verification.AsyncResult(NUMBER).state


def results_by_id(world):
    verification = initiate_verification.delay(NUMBER)
    verification.get(timeout=SECONDS)
    yield initiate_verification.AsyncResult(verification.id).state
    yield initiate_verification.AsyncResult("+1 (415) 555-0123").state
    yield verification.revoke(), verification.state
    yield sorted(verification.info), verification.info["state"]
    yield enter(world.last_code(NUMBER), request=verification.id), verification.state


def plivo_refuses(world):
    world.misfortune("400")
    yield ask(NUMBER)
    world.misfortune("403", number="+14155550124")
    yield ask("+14155550124")


def an_answer_is_lost(world):
    world.misfortune("500_after")
    yield ask(NUMBER), len(world.codes(NUMBER))
    yield ask(NUMBER)
    world.misfortune("reset_after", number="+14155550124")
    yield ask("+14155550124"), len(world.codes("+14155550124"))
    world.travel(minutes=17)
    yield ask(NUMBER), len(world.codes(NUMBER))


def plivo_cannot_be_reached(world):
    world.misfortune("503")
    verification = initiate_verification.delay(NUMBER)
    world.settle()
    yield verification.state, verification.info["reason"], len(world.codes(NUMBER))
    world.travel(minutes=2)
    yield verification.get(timeout=SECONDS)["state"], len(world.codes(NUMBER))


def an_answer_to_a_code_is_lost(world):
    yield ask(NUMBER)
    world.misfortune("500_after", operation="complete")
    yield enter(world.last_code(NUMBER)), is_verified(NUMBER)


def strange_answers(world):
    for nth, kind in enumerate(
        ("empty", "html", "without_uuid", "truncated", "error_in_200", "closed_idle", "redirect")
    ):
        number = f"+1415555013{nth}"
        world.misfortune(kind, number=number)
        yield kind, ask(number), len(world.codes(number))
        world.travel(minutes=1)  # five doubts in a row pause all sending for a moment


def a_roster(world):
    with open_roster(
        BytesIO(b"phone,name\n" + b"".join(b"+141555501%02d,Ann\n" % nth for nth in range(30, 50)))
    ) as rows:
        import_roster(rows, "people")
    world.settle()
    yield [len(world.codes(f"+141555501{nth:02}")) for nth in range(29, 51)]
    yield enter(world.last_code("+14155550130"), "+14155550130")
    yield initiate_verification.AsyncResult("+14155550131").info["state"]
    yield ask("+14155550131"), len(world.codes("+14155550131"))
    world.travel(minutes=16)
    yield initiate_verification.AsyncResult("+14155550131").info["state"]


def other_lanes(world):
    for nth, queue in enumerate(("ringproof.bulk", "ringproof.scheduled", "ringproof.interactive")):
        number = f"+1415555013{nth}"
        yield outcome(initiate_verification.apply_async, (number,), {"channel": "auto"}, queue=queue)
        yield enter(world.last_code(number), number)


SCENARIOS = (
    a_person_verifies,
    wrong_requests,
    wrong_codes_lock,
    codes_expire,
    resends_cool_down_and_are_capped,
    nothing_is_pending,
    results_by_id,
    plivo_refuses,
    an_answer_is_lost,
    plivo_cannot_be_reached,
    an_answer_to_a_code_is_lost,
    strange_answers,
    a_roster,
    other_lanes,
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_it_answers_as_the_real_parts_do(scenario, ringproof, phones):
    real = list(scenario(Real(ringproof, phones)))
    with eager() as sent:
        in_eager_mode = list(scenario(Eager(sent)))

    assert in_eager_mode == real
