"""An event: one piece of news about a number or a batch, as the outbox keeps it and as receivers get it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self
from uuid import UUID

from ringproof.clock import iso, moment
from ringproof.ledger.record import LETTERS, Lane, Reason, State
from ringproof.ledger.result_id import ResultId
from ringproof.phone.masking import mask


class EventKind(StrEnum):
    """What has happened."""

    CODE_SENT = "code_sent"
    VERIFIED = "verified"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    EXPIRED = "expired"
    LAPSED = "lapsed"
    BATCH_COMPLETED = "batch_completed"
    NEWER_VERSION = "newer_version"  # what has happened only a newer version of Ringproof knows

    @property
    def type(self) -> str:
        """The type that receivers of webhooks and readers of the API see: `verification.verified`."""
        return "batch.completed" if self is EventKind.BATCH_COMPLETED else f"verification.{self}"


_LETTER_OF: Final = {str(name): letter for name, letter in LETTERS.items() if name in set(State)}
_STATES: Final = {letter: State(name) for name, letter in LETTERS.items() if name in set(State)}
_REASONS: Final = {letter: Reason(name) for name, letter in LETTERS.items() if name in set(Reason)}
_LANES: Final = {lane[0]: lane for lane in Lane}
_NEWS: Final = frozenset(_LETTER_OF[kind] for kind in set(map(str, EventKind)) & set(map(str, State)))
_SPAN: Final = re.compile(r"-?\d{1,12}", re.ASCII)  # 30 years
_E164: Final = re.compile(r"\+[1-9]\d{1,14}", re.ASCII)

_MS_SHIFT: Final = 80
_COUNT_BITS: Final = 62
_BLANKS: Final = 9  # in a packed event; a batch's name may have more of them


@dataclass(frozen=True, slots=True)
class Event:
    """One event. Its `id` is the same whenever it is delivered again, and later events have later ids.

    Of a completed batch only `batch` is known. `request` is None if Plivo's list shows that the number was verified
    without a code of Ringproof's.

    Event(id="019acd0e-b39b-7000-8000-000000000000", kind=EventKind.VERIFIED, at=…, phone_number="+14155550123",
          request=1764376884, state=State.VERIFIED, reason=None, lane=Lane.BULK, channel="sms", is_verified=True,
          verification_uuid="3fa85f64-…", code_sent_at=…, expires_at=…, verified_at=…, batch="spring", row="sms:17:US")
    """

    id: str
    kind: EventKind
    at: datetime
    phone_number: str | None = field(default=None, repr=False)
    request: int | None = None
    state: State | None = None
    reason: Reason | None = None
    lane: Lane | None = None
    channel: str | None = None
    is_verified: bool = False
    """Whether the number's verification stands, whatever became of this request."""
    verification_uuid: str | None = None
    code_sent_at: datetime | None = None
    """When the code was sent that the event is about. None if none was, or if nobody knows: an earlier code than the
    last one may have verified the number, or another program's.
    """
    expires_at: datetime | None = None
    """When that code dies."""
    verified_at: datetime | None = None
    """When the number was verified; None unless the state is `verified`."""
    batch: str | None = None
    row: str | None = None
    account: str | None = None
    """The account whose number or batch it is; None for the installation's own."""

    @classmethod
    def unpack(cls, entry_id: str, fields: Mapping[str, str], account: str | None = None) -> Self:
        """Unpack an entry of an account's outbox: its id in Redis, and its fields (`lua/lib/outbox.lua`).

        What only a newer version can read is of the kind NEWER_VERSION, with what is known of it. An entry of an older
        version has no times.
        """
        event_id, parts = event_id_of(entry_id), fields.get("e", "").split(" ", _BLANKS)
        if not _is_known(parts):
            number = parts[2] if len(parts) > 2 and _E164.fullmatch(parts[2]) else None
            at = moment(int(entry_id.partition("-")[0]))
            batch = None if number else "-"
            return cls(event_id, EventKind.NEWER_VERSION, at, phone_number=number, batch=batch, account=account)
        letters, written_at, number, request, lane, channel, stands, uuid, row, batch = parts
        when = moment(int(written_at))
        if letters == "b-":
            return cls(event_id, EventKind.BATCH_COMPLETED, when, batch=batch, account=account)
        state = _STATES[letters[0]]
        reason = _REASONS.get(letters[1], None if letters[1] == "-" else Reason.NEWER_VERSION)
        code_sent_at, expires_at, verified_at = _times(fields.get("t", ""), when)
        return cls(
            event_id,
            EventKind.LAPSED if reason is Reason.LAPSED else EventKind(state),
            when,
            phone_number=number,
            request=int(request) or None,
            state=state,
            reason=reason,
            lane=_LANES[lane],
            channel=channel,
            is_verified=stands == "1",
            verification_uuid=_present(uuid),
            code_sent_at=code_sent_at,
            expires_at=expires_at,
            verified_at=verified_at,
            batch=_present(batch),
            row=_present(row),
            account=account,
        )

    @property
    def entry_id(self) -> str:
        """Its id in the outbox."""
        return _entry_id(UUID(self.id))

    @property
    def subject(self) -> str:
        """What it is about: events with the same subject are delivered in their order."""
        return self.phone_number or f"batch {self.batch}"

    @property
    def verification_id(self) -> str | None:
        """The id that `initiate_verification.delay` returned for its request: `+14155550123/1764376884`."""
        if self.phone_number is None or self.request is None:
            return None
        return str(ResultId(self.phone_number, self.request, self.account))

    def data(self) -> dict[str, Any]:
        """Return what the event says, as JSON has it. The number is in full.

        It names the account, unless that is the installation's own.
        """
        account = {} if self.account is None else {"account": self.account}
        if self.kind is EventKind.BATCH_COMPLETED:
            return account | {"batch": self.batch}
        return account | {
            "id": self.verification_id,
            "phone_number": self.phone_number,
            "state": self.state,
            "reason": self.reason,
            "is_verified": self.is_verified,
            "lane": self.lane,
            "channel": self.channel,
            "verification_uuid": self.verification_uuid,
            "code_sent_at": self.code_sent_at and iso(self.code_sent_at),
            "expires_at": self.expires_at and iso(self.expires_at),
            "verified_at": self.verified_at and iso(self.verified_at),
            "batch": self.batch,
            "row": self.row,
        }

    def as_json(self) -> str:
        """Return the event as receivers of webhooks and readers of the API get it.

        {"type":"verification.verified","timestamp":"2026-11-29T20:26:10.344Z","data":{"id":"+14155550123/1764376884",…}}
        """
        timestamp = self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return json.dumps({"type": self.kind.type, "timestamp": timestamp, "data": self.data()}, separators=(",", ":"))

    @property
    def summary(self) -> str:
        """Its type, and the masked number or the batch that it is about."""
        return f"{self.kind.type} {mask(self.phone_number) if self.phone_number else self.batch}"

    def __str__(self) -> str:
        return f"{self.id} {self.summary}"


def event_id_of(entry_id: str) -> str:
    """Return the id of the event that an entry of the outbox is: a UUID of version 7, of its milliseconds and count.

    The entry's own id would be masked in logs, because its digits may be a number's.

    >>> event_id_of("1764376884123-0")
    '019acd0e-b39b-7000-8000-000000000000'
    """
    milliseconds, count = map(int, entry_id.split("-"))
    return str(UUID(int=milliseconds << _MS_SHIFT | 7 << 76 | 2 << _COUNT_BITS | count))


def entry_id_of(event_id: str) -> str | None:
    """Return the id in the outbox of an event's id; None if it is no event's id.

    >>> entry_id_of("019acd0e-b39b-7000-8000-000000000000"), entry_id_of("1764376884123")
    ('1764376884123-0', None)
    """
    try:
        entry_id = _entry_id(UUID(event_id))
    except ValueError:
        return None
    return entry_id if event_id_of(entry_id) == event_id else None


def _entry_id(event_id: UUID) -> str:
    return f"{event_id.int >> _MS_SHIFT}-{event_id.int & (1 << _COUNT_BITS) - 1}"


def _is_known(parts: list[str]) -> bool:
    """Whether this version can read an entry: all of its parts, and the words that its kind and its lane need."""
    if len(parts) <= _BLANKS or not parts[1].isdecimal():
        return False
    if parts[0] == "b-":
        return True
    letters, _, number, request, lane = parts[:5]
    return (
        len(letters) == 2
        and letters[0] in _NEWS
        and _E164.fullmatch(number) is not None
        and request.isdecimal()
        and lane in _LANES
    )


def _times(packed: str, when: datetime) -> tuple[datetime | None, datetime | None, datetime | None]:
    """Return when the code of an event was sent, when it dies, and when the number was verified.

    A newer version may write more than that, or what this one cannot read.
    """
    sent_ago, lives, verified_ago = [_span(word) for word in f"{packed} - - -".split()[:3]]
    sent = None if sent_ago is None else when - sent_ago
    expires = None if sent is None or lives is None else sent + lives
    return sent, expires, None if verified_ago is None else when - verified_ago


def _span(word: str) -> timedelta | None:
    return timedelta(milliseconds=int(word)) if _SPAN.fullmatch(word) else None


def _present(text: str) -> str | None:
    return None if text == "-" else text
