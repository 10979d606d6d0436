"""What a program reads of a request or a confirmation: plain values, with the same names and formats everywhere.

`.get()` and `.info` give a `VerificationRecord` as it is here. The command's `--json`, the HTTP API and webhooks have
more fields, and give those that they share with it the same names and values. Times are texts in ISO 8601, in UTC.
"""

from datetime import datetime
from typing import Final, Literal

from typing_extensions import TypedDict  # pydantic, and so FastAPI, takes no other one before Python 3.12

from ringproof.clock import iso
from ringproof.ledger.record import Record, State

StateName = Literal[
    "queued", "waiting", "sending", "code_sent", "in_doubt", "verified", "expired", "failed", "cancelled"
]


class VerificationRecord(TypedDict):
    """Where a request stands. It is an ordinary dict, and ready for JSON.

        {"phone_number": "+14155550123", "state": "code_sent", "reason": None, "channel": "sms", "country": "US",
         "code_sent_at": "2026-05-04T15:00:00.000+00:00", "expires_at": "2026-05-04T15:15:00.000+00:00", …}

    A request that stands for another person's has no `alias`, `subaccount`, `verification_uuid` and `api_id`.
    """

    phone_number: str
    """E.164."""
    state: StateName
    reason: str | None
    """Why it waits, is in doubt, has failed or has expired."""
    channel: str
    """`sms` or `call`."""
    alias: str | None
    subaccount: str | None
    country: str | None
    """ISO 3166, two letters; `001` for a number of no country."""
    attempts: int
    """How often Plivo was asked to send this request's code."""
    verification_uuid: str | None
    """Plivo's id of the code."""
    api_id: str | None
    message: str | None
    """Plivo's sentence about the code."""
    due_at: str | None
    """When a request goes on that is `waiting`."""
    code_sent_at: str | None
    expires_at: str | None
    """When the last code dies."""
    verified_at: str | None
    """When the number was verified; None unless the state is `verified`."""


class Confirmation(TypedDict):
    """Proof that the person who entered the code holds the number. It has neither the number nor the code.

    {"state": "verified", "verification_uuid": "24856289-…", "country": "US",
     "verified_at": "2026-05-04T15:01:00.000+00:00"}
    """

    state: Literal["verified"]
    verification_uuid: str | None
    country: str | None
    verified_at: str | None


OF_A_REQUEST: Final = ("verification_uuid", "api_id", "alias", "subaccount")
"""The fields that only the caller gets whose request was accepted."""


def verification_record(record: Record, *, is_anothers: bool = False) -> VerificationRecord:
    """Return a number's record as `.get()` returns it, without the fields of a request that is another's."""
    return {
        "phone_number": record.phone_number,
        "state": record.state.value,
        "reason": str(record.reason) if record.reason else None,
        "channel": record.channel,
        "alias": None if is_anothers else record.alias,
        "subaccount": None if is_anothers else record.subaccount,
        "country": record.country,
        "attempts": record.attempts,
        "verification_uuid": None if is_anothers else record.verification_uuid,
        "api_id": None if is_anothers else record.api_id,
        "message": record.message,
        "due_at": _iso(record.due_at) if record.state is State.WAITING else None,
        "code_sent_at": _iso(record.code_sent_at),
        "expires_at": _iso(record.expires_at),
        "verified_at": _iso(record.verified_at) if record.state is State.VERIFIED else None,
    }


def confirmation_of(record: Record, verification_uuid: str | None) -> Confirmation:
    """Return what a confirmation says of the number that its code has verified."""
    return {
        "state": "verified",
        "verification_uuid": verification_uuid,
        "country": record.country,
        "verified_at": _iso(record.verified_at),
    }


def _iso(when: datetime | None) -> str | None:
    return iso(when) if when else None
