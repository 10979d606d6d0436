"""What a program reads of a request has the same names and texts everywhere: results, the API, `--json`, events."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from ringproof.clock import epoch_ms
from ringproof.events.event import Event
from ringproof.ledger.record import Reason, Record, State
from ringproof.results import OF_A_REQUEST, VerificationRecord, confirmation_of, verification_record
from worker.views.number import number_json
from worker.web.api.models import Confirmation, Number, Verification

NOW = datetime(2026, 5, 4, 15, 0, 0, 123_000, tzinfo=UTC)
FIELDS = VerificationRecord.__annotations__.keys()
RECORDS = [
    Record(
        "+14155550123",
        state,
        1764376884,
        alias="Front desk",
        subaccount="SA" + "x" * 18,
        country="US",
        attempts=1,
        reason=Reason.PACE if state is State.WAITING else None,
        verification_uuid="3fa85f64",
        api_id="5e1f",
        code_sent_at=NOW,
        expires_at=NOW + timedelta(minutes=15),
        due_at=NOW if state is State.WAITING else None,
        verified_at=NOW if state is State.VERIFIED else None,
        live_until=NOW,
    )
    for state in State
]


@pytest.mark.parametrize("is_own", [True, False])
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.state)
def test_the_api_gives_the_record_of_a_result(record, is_own):
    shown = json.loads(Verification.of("id", record, is_own=is_own).model_dump_json())

    assert {name: shown[name] for name in FIELDS} == verification_record(record, is_anothers=not is_own)
    assert all(bool(shown[name]) is is_own for name in OF_A_REQUEST)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.state)
def test_the_command_gives_the_record_of_a_result(record):
    shown = json.loads(number_json(record))

    assert {name: shown[name] for name in FIELDS} == verification_record(record)


def test_the_api_gives_a_confirmation_as_a_result_does():
    record = next(one for one in RECORDS if one.state is State.VERIFIED)
    confirmed = confirmation_of(record, "3fa85f64")

    assert json.loads(Confirmation.model_validate(confirmed).model_dump_json()) == confirmed
    number = Number(phone_number="+14155550123", is_verified=True, verified_at=NOW)
    assert json.loads(number.model_dump_json())["verified_at"] == confirmed["verified_at"]


def test_an_event_gives_what_it_shares_with_a_record_as_the_record_has_it():
    record = next(one for one in RECORDS if one.state is State.VERIFIED)
    at = epoch_ms(NOW + timedelta(minutes=5))
    packed = f"v- {at} {record.phone_number} {record.request} i sms 1 {record.verification_uuid} - -"
    said = Event.unpack(f"{at}-0", {"e": packed, "t": "300000 900000 300000"}).data()

    shared = {"phone_number", "state", "reason", "channel", "verification_uuid"}
    shared |= {"code_sent_at", "expires_at", "verified_at"}
    shown = verification_record(record)
    assert said.keys() & FIELDS == shared
    assert {name: said[name] for name in shared} == {name: shown[name] for name in shared}
