"""The errors: the drawn tree, their texts with a link, and that each survives pickle and JSON."""

import copy
import itertools
import json
import pickle
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from celery import Celery
from kombu.utils.json import dumps, loads

from ringproof import errors
from ringproof.errors import InvalidNumber, InvalidRequest, Misconfigured, RingproofError
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Reason
from ringproof.phone.masking import mask, redact
from ringproof.plivo.client import PlivoClient
from ringproof.plivo.transport import HttpTimeouts
from ringproof.settings import Settings
from worker.local.sandbox.server import ANY_AUTH_ID

REASONS = {
    "not_a_number",
    "not_text",
    "ambiguous",
    "no_country",
    "impossible",
    "invalid",
    "extension",
    "letters",
    "network",
    "personal",
    "premium",
    "shared_cost",
    "pager",
    "uan",
    "voicemail",
    "landline_sms",
    "country",
    "too_long",
    "excel_number",
}

CLASSES = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, RingproofError)]
LEAVES = [leaf for leaf in CLASSES if not any(issubclass(error, leaf) for error in CLASSES if error is not leaf)]
FAILURES = [error for error in LEAVES if issubclass(error, errors.Failed)]
UNTIL = datetime(2031, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
MASKED = mask("+14155550123")


UNSENT = [("429 slow down",), ("429", 7.5), ("", 0.0)]
UNTILS = [(UNTIL,), (UNTIL.replace(microsecond=0),), (UNTIL.astimezone(timezone(timedelta(hours=2))),)]
ARGUMENTS = {
    RingproofError: [(), ("why",)],
    InvalidRequest: [("alias", repr("a\nb"), "1 to 255 printable characters"), ("é", "☎ \ud800", "")],
    InvalidNumber: [(reason, MASKED) for reason in InvalidNumber.REMEDIES],
    errors.InvalidRoster: [("people.csv", "it is empty", "give a file with rows"), ("é ☎.csv", "", "")],
    errors.UnknownBatch: [("spring",)],
    errors.UnknownAccount: [("acme",), ("acne", "acme")],
    errors.BatchExists: [("spring", "name another"), ("", "")],
    errors.BatchBusy: [("spring",)],
    errors.CoolingDown: UNTILS,
    errors.Capped: [(limit, UNTIL) for limit in errors.Capped.LIMITS] + [("a limit of tomorrow", UNTIL)],
    errors.Overloaded: [(UNTIL, UNTIL + timedelta(minutes=15))],
    errors.LedgerUnavailable: [("redis://:•••@h:6379/0", "ConnectionError: refused"), ("", "")],
    errors.LedgerDamaged: [("redis://:•••@h:6379/0", "the record of +1•••••••23 has junk in its fields"), ("", "")],
    errors.TooFewReplicas: [("redis://:•••@h:6379/0", "0 of 1 replicas follow"), ("", "")],
    Misconfigured: [(), ("A: missing",), ("A: missing", "B: wrong; see C")],
    errors.Unwritable: [("rejects.csv", "No space left on device", "make room"), ("", "", "")],
    errors.WrongCode: [(), ("400 the otp is wrong",), ("400", 4), ("", 0), ("404", 0, UNTIL)],
    errors.Locked: UNTILS,
    errors.TooManyTries: [()],
    errors.CodeExpired: UNTILS,
    errors.NothingPending: [(), ("verified",), ("in_doubt",)],
    errors.Unconfirmed: [(), ("502",)],
    errors.InDoubt: UNTILS,
    errors.Unsent: UNSENT,
    errors.Unreachable: UNSENT,
    errors.LeaseOver: UNSENT,
    errors.Throttled: UNSENT,
    errors.Unauthorized: UNSENT,
    errors.Unknown: [("502",), ("",)],
}
OF_A_FAILURE = [(), ("400 “alias” is wrong",)]

EXAMPLES = [error(*arguments) for error in CLASSES for arguments in ARGUMENTS.get(error, OF_A_FAILURE)]
"""Errors of each class, with every kind of argument that they take."""

PAGE = Path(__file__).parents[1] / errors.GUIDE


def named(example):
    return type(example).__name__ if isinstance(example, RingproofError) else None


def anchors_of(page):
    """Return the anchors of a page: its headings, as MkDocs and GitHub name them, and the ids in its tables."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}
    return slugs | set(re.findall(r'id="([^"]+)"', text))


class TestTheTree:
    def test_is_drawn_in_the_docstring_of_the_module(self):
        drawn, above = {}, {}
        for line in (errors.__doc__ or "").splitlines():
            if match := re.match(r"((?:│   |    )*(?:[├└]── )?)([A-Z]\w+)(?: {2,}|$)", line):
                depth = len(match[1]) // 4
                above[depth] = match[2]
                drawn[match[2]] = above.get(depth - 1)

        real = {error.__name__: None if error is RingproofError else error.__mro__[1].__name__ for error in CLASSES}
        assert drawn == real
        assert list(drawn) == list(real), "and in the same order"

    def test_notes_that_an_invalid_request_is_a_value_error(self):
        noted = {
            line.split()[-1].strip("()"): line
            for line in (errors.__doc__ or "").splitlines()
            if line.endswith("Error)")
        }

        assert set(noted) == {"ValueError"}
        assert "InvalidRequest" in noted["ValueError"]
        invalid = [error for error in CLASSES if issubclass(error, ValueError)]
        batches = [errors.BatchExists, errors.BatchBusy]
        unknown = [errors.UnknownBatch, errors.UnknownAccount]
        assert invalid == [InvalidRequest, InvalidNumber, errors.InvalidRoster, *unknown, *batches]

    @pytest.mark.parametrize("leaf", LEAVES)
    def test_has_what_happens_next_in_the_docstring_of_each_leaf(self, leaf):
        what, _, next_ = (vars(leaf).get("__doc__") or "").partition(";")

        assert what
        assert len(next_.split()) >= 2, "after the semicolon"
        assert next_.rstrip().endswith(".")

    def test_has_a_remedy_for_each_documented_reason(self):
        assert set(InvalidNumber.REMEDIES) == REASONS
        assert all(len(remedy.split()) > 5 for remedy in InvalidNumber.REMEDIES.values())

    def test_refuses_an_unknown_reason(self):
        with pytest.raises(KeyError):
            InvalidNumber("ugly", MASKED)

    def test_has_remedies_that_cannot_be_changed(self):
        with pytest.raises(TypeError):
            InvalidNumber.REMEDIES["ugly"] = "be nicer"


def same(one, other):
    assert type(other) is type(one)
    assert other.args == one.args
    assert vars(other) == vars(one)
    assert str(other) == str(one)
    return True


class TestTheJourney:
    """From the worker to `.get()`, or to another process of the application."""

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    @pytest.mark.parametrize("error", EXAMPLES, ids=named)
    def test_through_pickle_changes_nothing(self, error, protocol):
        assert same(error, pickle.loads(pickle.dumps(error, protocol)))  # our own

    @pytest.mark.parametrize("error", EXAMPLES, ids=named)
    def test_through_copy_changes_nothing(self, error):
        assert same(error, copy.deepcopy(error))

    @pytest.mark.parametrize("error", EXAMPLES, ids=named)
    def test_through_celerys_json_changes_nothing(self, error):
        app = Celery("host", backend="cache+memory://", set_as_current=False)
        app.conf.update(result_serializer="json", accept_content=["json"])
        sent = dumps(app.backend.prepare_exception(error, serializer="json"))

        assert same(error, app.backend.exception_to_python(loads(sent)))

    @pytest.mark.parametrize("error", EXAMPLES, ids=named)
    def test_through_a_stored_result_changes_nothing(self, error):
        app = Celery("host", backend="cache+memory://", set_as_current=False)
        app.conf.update(result_serializer="json", accept_content=["json"])
        app.backend.mark_as_failure("an-id", error)

        assert same(error, app.AsyncResult("an-id").result)

    def test_through_json_keeps_a_time_as_a_time(self):
        app = Celery("host", backend="cache+memory://", set_as_current=False)
        sent = json.loads(dumps(app.backend.prepare_exception(errors.InDoubt(UNTIL), serializer="json")))

        assert app.backend.exception_to_python(loads(json.dumps(sent))).until == UNTIL


class TestTheText:
    @pytest.mark.parametrize("error", EXAMPLES, ids=named)
    def test_has_no_part_that_looks_like_a_number(self, error):
        without_our_own_example = str(error).replace("+14155550123", "")

        assert redact(without_our_own_example) == without_our_own_example

    @pytest.mark.parametrize(("one", "other"), list(itertools.combinations(FAILURES, 2)))
    def test_differs_between_the_failures(self, one, other):
        assert one("400").message != other("400").message
        assert "(400)" in one("400").message
        assert "(" not in one().message

    @pytest.mark.parametrize("failure", FAILURES)
    def test_of_a_failure_ends_with_what_to_do(self, failure):
        assert failure.__doc__.endswith(f"; {failure().remedy}.")
        assert failure("400").message.endswith(f"; {failure().remedy}")

    @pytest.mark.parametrize("error", EXAMPLES, ids=named)
    def test_has_its_link_once_at_the_end_except_inside_the_worker(self, error):
        if isinstance(error, errors.Unsent | errors.Unknown):
            assert str(error) == error.message == error.cause
        else:
            assert str(error) == f"{error.message} (see {error.link})".strip()
        assert errors.GUIDE not in error.message

    @pytest.mark.skipif(not PAGE.exists(), reason="the page is not written yet")
    @pytest.mark.parametrize("error", EXAMPLES, ids=named)
    def test_has_a_link_that_leads_to_an_anchor_of_the_page(self, error):
        page, _, anchor = error.link.partition("#")

        assert page == errors.GUIDE
        assert anchor in anchors_of(PAGE)
        assert type(error).__name__.lower() in anchors_of(PAGE)

    @pytest.mark.skipif(not PAGE.exists(), reason="the page is not written yet")
    @pytest.mark.parametrize("reason", Reason)
    def test_of_a_record_with_a_reason_has_a_link_to_an_anchor_of_the_page(self, reason):
        assert errors.reason_link(reason).removeprefix(f"{errors.GUIDE}#") in anchors_of(PAGE)

    def test_of_an_unreachable_redis_has_no_password(self):
        settings = Settings.read({"REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"})
        ledger = Ledger(connect(settings.redis_url.get_secret_value()), shown_url=settings.shown_redis_url)

        with pytest.raises(errors.LedgerUnavailable, match=re.escape("redis://:•••@127.0.0.1:1/0")) as caught:
            ledger.read("+14155550123")
        shown = f"{caught.value} {caught.value!r} {caught.value.__cause__} {caught.value.__context__}"

        assert "hunter2" not in shown
        assert "4155550123" not in shown

    def test_of_an_unreachable_plivo_has_no_number_and_no_token(self):
        token = "a-token-that-must-not-be-logged"
        environ = {"PLIVO_AUTH_ID": ANY_AUTH_ID, "PLIVO_AUTH_TOKEN": token, "PLIVO_BASE_URL": "http://127.0.0.1:1/v1"}
        settings = Settings.read(environ, worker=True)
        assert settings.plivo_auth_token is not None
        client = PlivoClient(
            ANY_AUTH_ID,
            settings.plivo_auth_token,
            settings.plivo_base_url,
            timeouts=HttpTimeouts(connecting_seconds=0.2),
        )

        with pytest.raises(errors.Unreachable) as caught:
            client.initiate("+14155550123", alias="+14155550123")
        client.close()
        shown = f"{caught.value} {caught.value!r} {caught.value.__cause__} {caught.value.__context__}"

        assert token not in shown
        assert "4155550123" not in shown

    def test_of_a_wrong_environment_names_every_wrong_variable(self):
        with pytest.raises(Misconfigured) as caught:
            Settings.read({"RINGPROOF_RATE": "0", "RINGPROOF_REGION": "UK"})

        assert [problem.partition(":")[0] for problem in caught.value.problems] == [
            "RINGPROOF_REGION",
            "RINGPROOF_RATE",
        ]
