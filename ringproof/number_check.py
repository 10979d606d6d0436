"""`check_number`: would a code be sent to this number? Asked before anything is stored, and without Redis."""

from ringproof import runtime
from ringproof.errors import InvalidNumber
from ringproof.ledger.request import VerificationRequest
from ringproof.ledger.result_id import URI_SCHEME, parse_result_id
from ringproof.phone.country_list import left_out_as
from ringproof.phone.masking import mask
from ringproof.phone.number import Channel, PhoneNumber


def check_number(
    phone_number: object, *, region: str | None = None, channel: Channel | None = "sms", account: str | None = None
) -> PhoneNumber:
    """Return the number that `initiate_verification.delay` would send a code to, or raise what it would raise.

        check_number("+1 (415) 555-0123").e164  # "+14155550123"
        check_number("555-0123")  # InvalidNumber, reason no_country

    `region`, `channel` and `account` are those of `.delay`, with the same defaults: RINGPROOF_REGION for `region`.
    It asks neither Redis nor Plivo, and takes microseconds: call it in a form, before you store a user.

    Raises `InvalidNumber` with a reason, and `InvalidRequest` for a wrong region, channel or account.

    What it cannot know without Redis: caps, the cooldown, and how many people wait (`Capped`, `CoolingDown`); and the
    countries and the test numbers of the workers, if this process has another RINGPROOF_COUNTRIES or
    RINGPROOF_TEST_NUMBERS than they. Set the same ones. So catch the errors of `.delay` nevertheless.
    """
    given = {"region": region, "channel": channel, "account": account}
    number = VerificationRequest.read((phone_number,), given, runtime.region()).number
    reason = left_out_as(number, runtime.countries(account))
    if reason and number.e164 not in runtime.test_numbers():
        raise InvalidNumber(reason, mask(number.e164))
    return number


def check_typed(typed: object, *, region: str | None, channel: Channel, account: str | None) -> str:
    """Return as E.164 what a person has typed into a form. Raises what `check_number` raises.

    The id of another account's request is an error of a program that passes it. A person who types one, such as
    `mobile:+14155550123`, has typed no number.
    """
    if (
        isinstance(typed, str)
        and (named := parse_result_id(typed))
        and named.account not in {None, URI_SCHEME, account}
    ):
        raise InvalidNumber("not_a_number", mask(named.number))
    return check_number(typed, region=region, channel=channel, account=account).e164
