"""What a request can have wrong: the error comes at once, says what to do, and does not show the number."""

import inspect
import re
import time

import phonenumbers
import pytest

from ringproof.celery.verification import VerificationTask, initiate_verification
from ringproof.errors import InvalidNumber, InvalidRequest
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.queues import lane_of, queue
from ringproof.ledger.record import Lane
from ringproof.ledger.request import VerificationRequest, arguments
from ringproof.phone.caller_id import ALIAS_LENGTH

NUMBER = "+12127360198"
LANDLINE = "+442083661177"
SUBACCOUNT = "SA" + "X7" * 9
HUGE = 10_000_000

MISPLACED = ("+12127360198", "12127360198", "+1 (212) 736-0198", "2127360198")
"""A number where something else belongs, which happens when arguments are given by position."""


def read(*args, region=None, **kwargs):
    return VerificationRequest.read(args, kwargs, region)


def refusal(*args, **kwargs):
    with pytest.raises(InvalidRequest) as caught:
        read(*args, **kwargs)
    return caught.value


def all_texts(error):
    """Every text of an error that a program may print."""
    return f"{error} {error!r} {error.args} {error.__dict__} {error.__cause__} {error.__context__}"


def reveals_a_number(text):
    """Whether a text shows more of the number than its country code and last two digits."""
    return any(piece in re.sub(r"[ ().-]", "", text) for piece in ("212", "736", "0198", "836"))


class TestTheNumber:
    @pytest.mark.parametrize(
        ("written", "reason"),
        [
            ("my phone", "not_a_number"),
            (None, "not_a_number"),
            (12127360198, "not_text"),
            (b"+12127360198", "not_a_number"),
            ({"number": "+12127360198"}, "not_a_number"),
            ("", "not_a_number"),
            ("2127360198", "no_country"),
            ("+1212736019", "impossible"),
            ("+15557360198", "invalid"),
            ("+12127360198 x736", "extension"),
            ("+1212736FLOW", "letters"),
            ("+19007360198", "premium"),
            ("+33884736019", "shared_cost"),
            ("+447640736019", "pager"),
            ("+443007360198", "uan"),
            ("+41860736019812", "voicemail"),
            (LANDLINE, "landline_sms"),
            ("+12127360198" * 10, "too_long"),
            ("1.212736E+10", "excel_number"),
            ("12127360198.0", "excel_number"),
        ],
    )
    def test_a_text_that_is_no_number_is_refused_with_its_reason_and_not_shown(self, written, reason):
        error = refusal(written)

        assert isinstance(error, InvalidNumber)
        assert (error.reason, error.field) == (reason, "phone_number")
        assert error.remedy == InvalidNumber.REMEDIES[reason]
        assert error.remedy in str(error)
        assert not reveals_a_number(all_texts(error))

    def test_a_number_of_the_phonenumbers_library_is_taken_as_its_e164(self):
        assert read(phonenumbers.parse(NUMBER)).number.e164 == NUMBER
        assert refusal(phonenumbers.parse(f"{NUMBER} ext. 7")).reason == "extension"

    def test_digits_that_lost_their_plus_are_refused_where_the_region_has_another_number_of_them(self):
        assert read("491716783154").number.e164 == "+491716783154"
        assert refusal("491716783154", region="DE").reason == "ambiguous"
        assert refusal("491716783154", channel="auto", region="DE").reason == "ambiguous"

    @pytest.mark.parametrize(
        "written", ["+1 (212) 736-0198", "tel:+1-212-736-0198", "'+12127360198", "\uff0b12127360198"]
    )
    def test_a_number_is_the_same_in_every_notation(self, written):
        assert read(written).number.e164 == NUMBER

    def test_the_country_of_a_number_may_come_from_the_caller_or_the_settings(self):
        assert VerificationRequest.read(("(212) 736-0198",), {"region": "us"}).number.e164 == NUMBER
        assert VerificationRequest.read(("(212) 736-0198",), {}, "US").number.e164 == NUMBER
        assert (
            VerificationRequest.read(("020 8366 1177",), {"region": "GB", "channel": "call"}, "US").number.country
            == "GB"
        )

    def test_the_number_is_masked_in_the_repr_of_the_request(self):
        assert not reveals_a_number(repr(read(NUMBER, alias=NUMBER)))


class TestTheOtherArguments:
    @pytest.mark.parametrize(
        ("arguments", "field", "way_out"),
        [
            ({"channel": "fax"}, "channel", "'sms', 'call' or 'auto'"),
            ({"channel": "telephone call"}, "channel", "'sms', 'call' or 'auto'"),
            ({"channel": 0}, "channel", "'sms', 'call' or 'auto'"),
            ({"channel": False}, "channel", "'sms', 'call' or 'auto'"),
            ({"channel": 1}, "channel", "'sms', 'call' or 'auto'"),
            ({"channel": ["sms"]}, "channel", "'sms', 'call' or 'auto'"),
            ({"alias": "a" * 256}, "alias", "1 to 255 printable characters"),
            ({"alias": "Front\ndesk"}, "alias", "1 to 255 printable characters"),
            ({"alias": "Front desk\n"}, "alias", "1 to 255 printable characters"),
            ({"alias": "Front\x00desk"}, "alias", "1 to 255 printable characters"),
            ({"alias": "Front\u202edesk"}, "alias", "1 to 255 printable characters"),
            ({"alias": "Front \ud800 desk"}, "alias", "1 to 255 printable characters"),
            ({"alias": b"Front desk"}, "alias", "1 to 255 printable characters"),
            ({"alias": 7}, "alias", "1 to 255 printable characters"),
            ({"alias": ["Front desk"]}, "alias", "1 to 255 printable characters"),
            ({"subaccount": SUBACCOUNT[:-1]}, "subaccount", "20 characters"),
            ({"subaccount": SUBACCOUNT + "X"}, "subaccount", "20 characters"),
            ({"subaccount": SUBACCOUNT + "\n"}, "subaccount", "20 characters"),
            ({"subaccount": "MA" + SUBACCOUNT[2:]}, "subaccount", "20 characters"),
            ({"subaccount": SUBACCOUNT.lower()}, "subaccount", "20 characters"),
            ({"subaccount": SUBACCOUNT[:-1] + "/"}, "subaccount", "20 characters"),
            ({"subaccount": SUBACCOUNT[:-1] + "\u0661"}, "subaccount", "20 characters"),
            ({"subaccount": 20}, "subaccount", "20 characters"),
            ({"region": "UK"}, "region", "'US' or 'GB'"),
            ({"region": "USA"}, "region", "'US' or 'GB'"),
            ({"region": "+1"}, "region", "'US' or 'GB'"),
            ({"region": "\u0131t"}, "region", "'US' or 'GB'"),
            ({"region": 1}, "region", "'US'"),
            ({"region": ["US"]}, "region", "'US'"),
            ({"resend": 1}, "resend", "True or False"),
            ({"resend": "yes"}, "resend", "True or False"),
            ({"resend": None}, "resend", "True or False"),
            ({"alais": "Front desk"}, "arguments", "alias=None"),
            ({"request": 7}, "arguments", "alias=None"),
        ],
    )
    def test_a_wrong_argument_is_refused_by_name_with_what_to_do(self, arguments, field, way_out):
        with pytest.raises(InvalidRequest) as caught:
            VerificationRequest.read((NUMBER,), arguments)

        error = caught.value
        assert error.field == field
        assert way_out in error.remedy
        assert error.value
        assert error.message == f"{error.field}: {error.value}: {error.remedy}"
        assert str(error).isprintable(), "a log line stays one line"

    @pytest.mark.parametrize("number", MISPLACED)
    @pytest.mark.parametrize(
        "arguments",
        [
            lambda number: ((NUMBER,), {"channel": number}),
            lambda number: ((NUMBER,), {"subaccount": number}),
            lambda number: ((NUMBER,), {"region": number}),
            lambda number: ((NUMBER,), {"resend": number}),
            lambda number: ((NUMBER,), {"alias": number + "\n"}),
            lambda number: ((NUMBER,), {"requester": number + "\n"}),
            lambda number: ((NUMBER,), {"requester": int(number) if number.isdecimal() else [number]}),
            lambda number: ((NUMBER,), {"alias": int(number) if number.isdecimal() else [number]}),
            lambda number: ((NUMBER,), {"channel": int(number) if number.isdecimal() else {number: number}}),
            lambda number: ((NUMBER,), {number: "an argument's name"}),
            lambda number: ((number,), {"phone_number": number}),
            lambda number: ((number,) * 7, {}),
            lambda number: ((), {"alias": number}),
        ],
    )
    def test_a_number_in_the_wrong_argument_is_not_shown(self, arguments, number):
        args, kwargs = arguments(number)
        with pytest.raises(InvalidRequest) as caught:
            VerificationRequest.read(args, kwargs)

        assert not reveals_a_number(all_texts(caught.value))

    @pytest.mark.parametrize(
        ("args", "kwargs", "value"),
        [
            ((), {}, "missing a required argument: 'phone_number'"),
            ((NUMBER, "a", "sms", None, None, False, None, None, "acme", 7), {}, "too many positional arguments"),
            ((NUMBER,), {"phone_number": NUMBER}, "multiple values for argument 'phone_number'"),
            ((NUMBER,), {"alais": "a"}, "'alais' is none of them"),
        ],
    )
    def test_arguments_that_do_not_fit_are_named_and_the_signature_is_shown(self, args, kwargs, value):
        with pytest.raises(InvalidRequest) as caught:
            VerificationRequest.read(args, kwargs)

        assert (caught.value.field, caught.value.value) == ("arguments", value)
        assert "(phone_number, alias=None, channel='sms'," in caught.value.remedy

    @pytest.mark.parametrize(
        ("args", "kwargs"),
        [
            ((NUMBER, "a" * HUGE), {}),
            ((NUMBER, "\n" + "2127360198" * (HUGE // 10)), {}),
            ((NUMBER,), {"channel": "2127360198" * (HUGE // 10)}),
            ((NUMBER,), {"subaccount": "S" * HUGE}),
            ((NUMBER,), {"region": "U" * HUGE}),
            ((NUMBER,), {"a" * HUGE: 1}),
            (("4" * HUGE,), {}),
            ((b"4" * HUGE,), {}),
            (({str(key): NUMBER for key in range(HUGE // 100)},), {}),
            ((10**100_000,), {}),
            ((NUMBER, "a", "sms", None, None, False, *range(HUGE // 10)), {}),
        ],
        ids=lambda _: "huge",
    )
    def test_arguments_of_ten_megabytes_are_refused_fast_with_a_short_error(self, args, kwargs):
        started = time.process_time()
        with pytest.raises(InvalidRequest) as caught:
            VerificationRequest.read(args, kwargs)
        took = time.process_time() - started

        assert took < 0.2
        assert len(str(caught.value)) < 400
        assert len(repr(caught.value)) < 400

    def test_the_longest_arguments_are_accepted_unchanged(self):
        asked = read(NUMBER, "☎ " + "é" * (ALIAS_LENGTH - 2), "call", SUBACCOUNT, "GB", resend=True)

        assert (len(asked.alias), asked.channel, asked.subaccount, asked.resend) == (255, "call", SUBACCOUNT, True)

    @pytest.mark.parametrize("empty", [None, "", " ", "\t", "\r\n", "\u00a0\u3000", "\u200e", "\ufeff"])
    def test_an_empty_field_of_a_form_is_absent(self, empty):
        request = VerificationRequest.read(
            (LANDLINE[3:], empty),
            {"channel": "call", "subaccount": empty, "region": empty, "reverify_after_days": empty},
            "GB",
        )

        assert (request.number.e164, request.alias, request.subaccount) == (LANDLINE, None, None)
        assert request.reverify_after_days is None
        assert read(NUMBER, channel=empty) == read(NUMBER)

    @pytest.mark.parametrize(
        ("written", "channel"),
        [("Call", "call"), ("CALL", "call"), (" call ", "call"), ("SMS", "sms"), ("Sms", "sms"), ("Auto", "sms")],
    )
    def test_a_channel_may_be_in_capitals(self, written, channel):
        assert read(NUMBER, channel=written).channel == channel

    def test_all_other_arguments_may_be_left_out(self):
        asked = read(NUMBER)

        assert (asked.alias, asked.channel, asked.subaccount, asked.resend) == (None, "sms", None, False)

    def test_all_arguments_may_be_given_by_name(self):
        asked = VerificationRequest.read((), {"resend": True, "phone_number": NUMBER, "channel": "call", "alias": "A"})

        assert (asked.number.e164, asked.channel, asked.alias, asked.resend) == (NUMBER, "call", "A", True)


@pytest.mark.parametrize(
    ("number", "channel", "reached_by"),
    [
        (NUMBER, "sms", "sms"),
        (NUMBER, "call", "call"),
        (NUMBER, "auto", "sms"),
        (LANDLINE, "call", "call"),
        (LANDLINE, "auto", "call"),
    ],
)
def test_the_channel_is_one_that_reaches_the_number(number, channel, reached_by):
    assert read(number, channel=channel).channel == reached_by


class TestTheLane:
    @pytest.mark.parametrize("lane", list(Lane))
    def test_the_queue_names_the_lane(self, lane):
        assert queue(lane) == f"ringproof.{lane}"
        assert lane_of(queue(lane)) is lane

    @pytest.mark.parametrize(
        "name",
        ["", "celery", "interactive", "ringproof.ticks", "ringproof.Bulk", None, 7, NUMBER, "4" * HUGE, object()],
    )
    def test_another_queue_has_no_lane(self, name):
        with pytest.raises(
            InvalidRequest, match=r"ringproof\.interactive, ringproof\.scheduled, ringproof\.bulk"
        ) as caught:
            lane_of(name)

        assert caught.value.field == "queue"
        assert not reveals_a_number(all_texts(caught.value))
        assert len(str(caught.value)) < 200

    @pytest.mark.parametrize(
        ("lane", "resend", "kind"),
        [
            (Lane.INTERACTIVE, False, RequestKind.PERSON),
            (Lane.INTERACTIVE, True, RequestKind.RESEND),
            (Lane.SCHEDULED, False, RequestKind.ROSTER),
            (Lane.BULK, False, RequestKind.ROSTER),
        ],
    )
    def test_the_lane_and_the_resend_give_the_kind(self, lane, resend, kind):
        assert read(NUMBER, resend=resend).kind(lane) is kind

    @pytest.mark.parametrize("lane", [Lane.SCHEDULED, Lane.BULK])
    def test_a_resend_outside_the_persons_lane_is_refused(self, lane):
        with pytest.raises(InvalidRequest, match=r"ringproof\.interactive") as caught:
            read(NUMBER, resend=True).kind(lane)

        assert (caught.value.field, caught.value.value) == ("resend", "True")


def test_the_task_documents_the_arguments_that_are_read():
    documented = inspect.getdoc(initiate_verification.run) or ""

    assert isinstance(initiate_verification, VerificationTask)
    assert all(name in documented for name in inspect.signature(arguments).parameters)
