"""What a worker does for a test number in the place of Plivo: RINGPROOF_TEST_NUMBERS has its fixed code."""

import hmac
import uuid
from typing import TYPE_CHECKING

from ringproof import errors, runtime
from ringproof.ledger.answers import Outcome
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Record, State
from ringproof.secret_str import SecretStr

if TYPE_CHECKING:
    from ringproof.plivo.client import VerifiedNumber


def outcome() -> Outcome:
    """Return the outcome of an attempt: the code counts as sent, because the person knows it already.

    It carries no signal from Plivo, which was not asked.
    """
    return Outcome(State.CODE_SENT, verification_uuid=str(uuid.uuid4()))


def check(ledger: Ledger, record: Record, code: SecretStr) -> "VerifiedNumber":
    """Return the number as Plivo would, if a code is the fixed one.

    Raises `WrongCode`, or `Unconfirmed` if the settings of this worker do not have the number.
    """
    fixed = runtime.settings_of(ledger.keys.account).test_numbers.code_of(record.phone_number)
    if fixed is None:
        raise errors.Unconfirmed("RINGPROOF_TEST_NUMBERS of this worker does not have the number")
    if not hmac.compare_digest(fixed.get_secret_value(), code.get_secret_value()):
        raise errors.WrongCode("it is not the fixed code of this test number")
    return as_verified(ledger, record)


def as_verified(ledger: Ledger, record: Record) -> "VerifiedNumber":
    """Return a verified test number as Plivo returns one."""
    from ringproof.plivo.client import VerifiedNumber  # noqa: PLC0415  # a worker has loaded it

    is_old = record.is_verified and not record.is_code_used
    return VerifiedNumber(
        phone_number=record.phone_number,
        alias=record.alias or "",
        country=record.country or "",
        created_at=record.verified_at or ledger.now(),
        modified_at=record.verified_at or ledger.now(),
        subaccount=record.subaccount or "",
        verification_uuid=(record.verified_uuid if is_old else record.verification_uuid) or "",
    )
