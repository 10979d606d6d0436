"""What callers of the API send and get. The OpenAPI document is made from these classes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, SecretStr, WithJsonSchema

from ringproof.batches.forecast import Forecast as ForecastOfRows
from ringproof.batches.forecast import Tally
from ringproof.batches.model import BatchState
from ringproof.clock import iso
from ringproof.errors import RingproofError, Superseded
from ringproof.ledger.failures import failure_of
from ringproof.ledger.record import Record
from ringproof.ledger.request import LONGEST_REQUESTER
from ringproof.phone.caller_id import ALIAS_LENGTH
from ringproof.phone.masking import LONGEST
from ringproof.results import verification_record
from worker.web.api.problems import Explanation, explanation_of

REGION: Final = "^([A-Za-z]{2})?$"
"""A country's two letters; an empty field of a form is absent."""


When = Annotated[
    datetime, PlainSerializer(iso, when_used="json"), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""A time as all of Ringproof's output has it."""


class _Body(BaseModel):
    """A JSON object that a caller sends: with the documented fields, of their types, and no others."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class NumberToLookUp(_Body):
    """A number, as a person writes it."""

    phone_number: str = Field(
        max_length=LONGEST,
        description="E.164, or any notation that names its country, unless `region` does.",
        examples=["+14155550123"],
    )
    region: str | None = Field(default=None, pattern=REGION, description="The country of a number without one.")


class NewVerification(NumberToLookUp):
    """Whom to send a code, and how."""

    channel: Literal["sms", "call", "auto"] = Field(
        default="sms", description="`auto` calls a landline, and texts all other numbers."
    )
    alias: str | None = Field(default=None, description=f"What Plivo shows for it: up to {ALIAS_LENGTH} characters.")
    subaccount: str | None = Field(default=None, description="The auth id (`SA…`) of its subaccount.")
    resend: bool = Field(default=False, description="Ask for another code while one lives, after the cooldown.")
    requester: str | None = Field(
        default=None,
        description="Who asks, such as your user's id: for a cap of its own, and so that one user of yours learns "
        f"nothing of another's request. Up to {LONGEST_REQUESTER} characters.",
    )


class Accepted(BaseModel):
    """A request that a worker will send, or that stood already for the same number."""

    id: str = Field(description="The opaque id of this request: `GET /verifications/{id}` says where it stands.")


class Verification(BaseModel):
    """Where a request stands.

    `pending`: the number's request is not the caller's own, and the credential has no scope `read`; the rest is
    absent. Times are UTC.
    """

    id: str
    state: Literal[
        "pending",
        "queued",
        "waiting",
        "sending",
        "code_sent",
        "in_doubt",
        "verified",
        "expired",
        "failed",
        "cancelled",
    ]
    phone_number: str | None = Field(default=None, description="E.164.")
    channel: str | None = None
    country: str | None = None
    alias: str | None = None
    subaccount: str | None = None
    verification_uuid: str | None = Field(default=None, description="Plivo's id of the code.")
    api_id: str | None = Field(default=None, description="Plivo's id of its answer.")
    message: str | None = Field(default=None, description="Plivo's sentence about the code.")
    attempts: int | None = Field(default=None, description="How often Plivo was asked to send this request's code.")
    code_sent_at: When | None = None
    expires_at: When | None = Field(default=None, description="When the code dies.")
    verified_at: When | None = None
    due_at: When | None = Field(default=None, description="When a request goes on that waits.")
    reason: str | None = Field(default=None, description="Why it waits, is in doubt, has failed or has expired.")
    explanation: Explanation | None = Field(default=None, description="Why there is no code.")

    @classmethod
    def of(cls, request_id: str, record: Record, *, is_own: bool) -> Self:
        """Return a record as its caller sees it.

        The caller's own request is `verified` only if its own code was entered. Another's request stands for the
        number, without what only its own caller gets.
        """
        if is_own:
            record = replace(record, state=record.state_of_request)
        failure = failure_of(record)
        shown = verification_record(record, is_anothers=not is_own)
        return cls.model_validate(
            {**shown, "id": request_id, "explanation": explanation_of(failure) if failure else None}
        )

    @classmethod
    def superseded(cls, request_id: str) -> Self:
        """Return a request whose outcome is no longer kept, because a newer one took its place."""
        error: RingproofError = Superseded()
        return cls(id=request_id, state="failed", reason="superseded", explanation=explanation_of(error))


class Code(_Body):
    """A code that a person has entered."""

    code: SecretStr = Field(description="A string of 4 to 8 digits, with the zeros that it begins with.")


class Confirmation(BaseModel):
    """Proof that the person who entered the code holds the number."""

    state: Literal["verified"]
    verification_uuid: str | None
    country: str | None
    verified_at: When | None


class Number(BaseModel):
    """Whether Plivo takes a number as a caller ID of the account. That proves nothing about who types the number."""

    phone_number: str = Field(description="E.164.")
    is_verified: bool
    country: str | None = None
    alias: str | None = None
    subaccount: str | None = None
    verification_uuid: str | None = None
    verified_at: When | None = None
    checked_at: When | None = Field(default=None, description="When Plivo last said that it has the number.")


class BatchCost(BaseModel):
    """What the codes of a batch have cost so far, by the operator's own prices. Amounts are texts."""

    model_config = ConfigDict(from_attributes=True)

    spent: Decimal = Field(description="With what the batch `payer` has spent, if it is another one.")
    budget: Decimal | None
    currency: str
    unpriced: Sequence[str] = Field(description="Countries of the batch without a price.")
    payer: str = Field(description="The batch whose budget pays: for a resend, that of its first batch.")


class Batch(BaseModel):
    """A roster that was imported: how its rows stand, how fast it goes, and what holds it back."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    state: BatchState
    created_at: When
    completed_at: When | None
    rows: int
    unfinished: int = Field(description="Rows without an outcome yet.")
    outcomes: Mapping[str, int] = Field(description="Rows by outcome, with the reason after a colon.")
    countries: Mapping[str, Mapping[str, int]]
    rate_per_second: float | None
    held_back_by: str = Field(description="A sentence; empty if nothing holds the batch back.")
    cost: BatchCost | None = Field(default=None, description="null if the batch has no prices.")


class Forecast(BaseModel):
    """What an import would send. Nothing was imported."""

    rows: int = Field(description="Rows that can be sent to.")
    rejected: Mapping[str, int] = Field(description="Rejected rows by reason; `empty` rows have no number.")
    countries: Mapping[str, int]
    duplicates: int
    no_code: Mapping[str, int] = Field(description="Numbers that get no code, by the reason.")
    texts: int
    calls: int
    seconds: float | None = Field(description="How long it takes at the present pace, if nothing else is sent.")
    is_exact: bool = Field(description="False: estimated from a sample of the numbers.")

    @classmethod
    def of(cls, tally: Tally, forecast: ForecastOfRows) -> Self:
        """Return the counts of a roster, and what the ledger says about it."""
        return cls(
            rows=tally.channels.total(),
            rejected=tally.reasons,
            countries=tally.countries,
            duplicates=forecast.duplicates,
            no_code={str(why): count for why, count in forecast.skipped.items()},
            texts=forecast.texts,
            calls=forecast.calls,
            seconds=forecast.duration.total_seconds() if forecast.duration else None,
            is_exact=forecast.is_exact,
        )
