"""One number's record: what the scripts keep in a packed hash, as values.

Redis keeps a hash packed as long as no field is longer than 64 bytes: a record takes 458 bytes in place of 2,163. So a
long text is spread over several fields, and the history is one field with eight bytes for each change.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Self

from ringproof.clock import moment
from ringproof.ledger.schema import is_newer_schema, is_word
from ringproof.phone.masking import mask, shorten
from ringproof.tracing import valid_traceparent

FIELD_BYTES: Final = 64
"""The longest field of a packed hash (hash-max-listpack-value, and -ziplist- before 7.0)."""


class State(StrEnum):
    """The state of a request."""

    QUEUED = "queued"
    WAITING = "waiting"
    SENDING = "sending"
    CODE_SENT = "code_sent"
    IN_DOUBT = "in_doubt"
    VERIFIED = "verified"
    EXPIRED = "expired"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether time alone does not change it any more."""
        return self in FINAL


UNBEGUN: Final = frozenset({State.QUEUED, State.WAITING})
"""The states of a request that no worker has begun."""

UNFINISHED: Final = UNBEGUN | {State.SENDING, State.IN_DOUBT}
"""The states of a request that has no outcome yet."""

FINAL: Final = frozenset({State.VERIFIED, State.EXPIRED, State.FAILED, State.CANCELLED})
"""The states that time alone does not change. Each other record has an entry on the agenda."""


class Reason(StrEnum):
    """Why a request waits, is in doubt, has failed or has expired."""

    PAUSED = "paused"
    PACE = "pace"
    COOLDOWN = "cooldown"
    CAP = "cap"
    QUIET_HOURS = "quiet_hours"
    UNREACHABLE = "unreachable"
    BATCH_PAUSED = "batch_paused"
    REFUSED = "refused"
    REJECTED = "rejected"
    FORBIDDEN = "forbidden"
    CAPPED = "capped"
    COUNTRY = "country"
    TOO_LATE = "too_late"
    WORKER_LOST = "worker_lost"
    IN_DOUBT = "in_doubt"
    CRASHES_WORKER = "crashes_worker"
    LAPSED = "lapsed"
    REMOVED = "removed"
    NEWER_VERSION = "newer_version"  # only shown: a newer version of Ringproof has written what stands there


class Lane(StrEnum):
    """The priority of a request: a user waits for it, a schedule makes it, or a batch does."""

    INTERACTIVE = "interactive"
    SCHEDULED = "scheduled"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a record's history."""

    at: datetime
    state: State
    reason: Reason | None


LETTERS: Final[Mapping[str, str]] = {
    State.QUEUED: "q",
    State.WAITING: "w",
    State.SENDING: "s",
    State.CODE_SENT: "c",
    State.IN_DOUBT: "d",
    State.VERIFIED: "v",
    State.EXPIRED: "e",
    State.FAILED: "f",
    State.CANCELLED: "x",
    Reason.PAUSED: "p",
    Reason.PACE: "a",
    Reason.COOLDOWN: "c",
    Reason.CAP: "o",
    Reason.QUIET_HOURS: "q",
    Reason.UNREACHABLE: "u",
    Reason.REJECTED: "r",
    Reason.FORBIDDEN: "f",
    Reason.CAPPED: "m",
    Reason.COUNTRY: "g",
    Reason.TOO_LATE: "l",
    Reason.WORKER_LOST: "k",
    Reason.IN_DOUBT: "d",
    Reason.CRASHES_WORKER: "x",
    Reason.BATCH_PAUSED: "b",
    Reason.LAPSED: "z",
    Reason.REMOVED: "y",
    Reason.REFUSED: "n",
}
"""The letters of the history. Installations have them in Redis: never give one a second meaning."""

FIELDS: Final = frozenset(
    (
        *("state", "request", "lane", "channel", "alias", "subaccount", "country", "resend", "again", "attempts"),
        *("tries", "wrong", "wrong_at", "locked_until", "reason", "detail", "due_at", "ends_at", "lease_until"),
        *("live_until", "live_before", "verification_uuid", "api_id", "code_request", "code_sent_at", "expires_at"),
        *("verified_at", "verified_uuid", "checked_at", "reverify_after", "reverifies", "batch", "row", "joined_by"),
        *("trace", "updated_at", "fence", "history", "refused", "requested_by_person", "unanswered", "look_ups_from"),
        *("claimed_until", "confirm", "codes", "calls", "counted_at", "personal", "probe", "sample", "steps_back"),
        *("requester", "test", "paid", "payer", "v"),
    )
)
"""The fields of a record that this version knows; a long alias has others: alias1, alias2 and so on.

A new request begins with an empty record. It keeps what belongs to the number, and each field that is not here.
"""

_STATES = {letter: State(name) for name, letter in LETTERS.items() if name in set(State)}
_REASONS = {letter: Reason(name) for name, letter in LETTERS.items() if name in set(Reason)}
_STATES_BY_NAME = {str(one): one for one in State}  # a call of the class takes ten times as long
_REASONS_BY_NAME = {str(one): one for one in Reason}
_LANES_BY_NAME = {str(one): one for one in Lane}
_WORDS: Final[Mapping[str, Collection[str]]] = {
    "state": _STATES_BY_NAME,
    "reason": _REASONS_BY_NAME.keys() & LETTERS.keys(),
    "lane": _LANES_BY_NAME,
    "channel": {"sms", "call"},
}
"""The words that this version knows, by field. These fields decide what becomes of a request."""
_LONGEST_NUMBER = 13  # digits of milliseconds until the year 2286
_NUMBERS = frozenset(
    (
        *("request", "attempts", "wrong", "locked_until", "ends_at", "live_until", "code_request", "code_sent_at"),
        *("expires_at", "verified_at", "checked_at", "reverify_after", "updated_at"),
    )
)
_SHOWN_OF_NEWER = {
    *("subaccount", "country", "batch", "row"),
    *("verification_uuid", "verified_uuid", "api_id"),
}
_CHANGE_LENGTH = 8  # a letter for the state, one for the reason, six base-36 digits of the second


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that Ringproof knows about one number. Times are aware, in UTC; an absent field is None or empty.

    A row of the batch `spring`, with its code sent:

    Record(
        phone_number="+14155550123", state=State.CODE_SENT, request=1764376884, lane=Lane.BULK, attempts=1,
        code_sent_at=…, live_until=…, expires_at=…, verification_uuid="3fa85f64-…", batch="spring", row="sms:17:US",
    )
    """

    phone_number: str = field(repr=False)
    state: State
    request: int
    lane: Lane = Lane.INTERACTIVE
    channel: str = "sms"
    alias: str | None = field(default=None, repr=False)
    subaccount: str | None = None
    country: str | None = None
    resend: bool = False  # a person asked for a second code
    again: bool = False  # Ringproof made this request itself, after a doubt
    attempts: int = 0  # of this request; attempts that do not count are left out
    tries: int = 0  # how often a user entered the last code
    wrong_codes: int = 0  # over all codes of the number; `wrong_codes.lua` says until when they count
    locked_until: datetime | None = None  # the end of the last lock for wrong codes
    reason: Reason | None = None
    detail: str | None = None
    due_at: datetime | None = None  # when a waiting request goes on
    ends_at: datetime | None = None  # its deadline
    lease_until: datetime | None = None
    live_until: datetime | None = None  # until when any code of the number may work
    verification_uuid: str | None = None
    api_id: str | None = None
    code_request: int | None = None  # the request that the last code was sent for, if it is an earlier one; 0: none
    code_sent_at: datetime | None = None
    expires_at: datetime | None = None  # of the last code
    verified_at: datetime | None = None
    verified_uuid: str | None = None  # the uuid that verified the number, if it is not that of the last code
    checked_at: datetime | None = None  # when Plivo last reported it as verified
    reverify_after_days: int | None = None  # its own period; None: the policy's
    reverifies: bool = False  # the request is a re-verification
    is_test: bool = False  # its last code is the fixed one of a test number: Plivo was not asked
    batch: str | None = None
    row: str | None = None  # LIST:PLACE:COUNTRY
    joined_by: tuple[str, ...] = ()  # other batches, with a row that joined this request
    trace: str | None = field(default=None, repr=False)  # its traceparent, until it has a final state
    updated_at: datetime | None = None
    fence: str | None = field(default=None, repr=False)
    history: tuple[Change, ...] = field(default=(), repr=False)

    @classmethod
    def unpack(cls, phone_number: str, packed: Mapping[str, str]) -> Self:
        """Unpack a record's hash. Raises ValueError, LookupError or OverflowError for what no script writes.

        Fields that this version does not know are left out. A record that only a newer version can go on with is
        `waiting`, because of `newer_version`, and `detail` says what this one does not know. A final state with such a
        reason stays what it is. Both stay as they are in Redis.
        """
        if unknown := _only_newer_knows(packed):
            return cls.unpack(phone_number, _as_this_version_shows_it(packed, unknown))

        def when(name: str) -> datetime | None:
            return moment(int(packed[name])) if name in packed else None

        reason, detail = _reason_and_detail(packed)
        return cls(
            phone_number=phone_number,
            state=_STATES_BY_NAME[packed["state"]],
            request=int(packed["request"]),
            lane=_lane_of(packed["lane"]),
            channel=packed["channel"],
            alias=_alias_of(packed),
            subaccount=packed.get("subaccount"),
            country=packed.get("country"),
            resend="resend" in packed,
            again="again" in packed,
            attempts=int(packed.get("attempts", 0)),
            tries=int(packed.get("tries", 0)),
            wrong_codes=int(packed.get("wrong", 0)),
            locked_until=when("locked_until"),
            reason=reason,
            detail=detail,
            due_at=when("due_at"),
            ends_at=when("ends_at"),
            lease_until=when("lease_until"),
            live_until=when("live_until"),
            verification_uuid=packed.get("verification_uuid"),
            api_id=packed.get("api_id"),
            code_request=int(packed["code_request"]) if "code_request" in packed else None,
            code_sent_at=when("code_sent_at"),
            expires_at=when("expires_at"),
            verified_at=when("verified_at"),
            verified_uuid=packed.get("verified_uuid"),
            checked_at=when("checked_at"),
            reverify_after_days=int(packed["reverify_after"]) if "reverify_after" in packed else None,
            reverifies="reverifies" in packed,
            is_test="test" in packed,
            batch=packed.get("batch"),
            row=packed.get("row"),
            joined_by=tuple(packed["joined_by"].split("/")) if "joined_by" in packed else (),
            trace=valid_traceparent(packed.get("trace")),
            updated_at=when("updated_at"),
            fence=packed.get("fence"),
            history=tuple(_unpack_history(packed.get("history", ""))),
        )

    @property
    def is_newer(self) -> bool:
        """Whether only a newer version of Ringproof can go on with it."""
        return self.state is State.WAITING and self.reason is Reason.NEWER_VERSION

    @property
    def is_code_used(self) -> bool:
        """Whether the last code that was sent has verified the number."""
        if self.verified_at is None or self.verified_uuid is not None:
            return False
        return self.code_sent_at is None or self.verified_at >= self.code_sent_at

    @property
    def is_verified(self) -> bool:
        """Whether the number's verification stands, whatever becomes of a newer request.

        It ends when the number lapses, and when Plivo no longer has the number.
        """
        return self.verified_at is not None and self.reason is not Reason.LAPSED

    @property
    def state_of_request(self) -> State:
        """The state of the record's request, apart from that of the number.

        A code of another request, or another program, may have verified the number. Then this request is expired if a
        code was sent for it, and cancelled otherwise.
        """
        if self.state is not State.VERIFIED or (self.is_code_used and self.code_request is None):
            return self.state
        return State.EXPIRED if self.attempts else State.CANCELLED

    @property
    def message(self) -> str | None:
        """Plivo's sentence about the code. Ringproof does not store it, because it can be made from the record."""
        if self.verification_uuid is None:
            return None
        return f"Verification code is sent to number {self.phone_number} which is valid for 15 minutes"

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return f"{mask(self.phone_number)} {self.state}{why}"


def state_of(text: str) -> State | None:
    """Return a state as a script writes it; None for no state."""
    return _STATES_BY_NAME.get(text)


def reason_of(text: str) -> Reason | None:
    """Return a reason as a script writes it; None for no reason."""
    return _REASONS_BY_NAME.get(text) or (Reason.NEWER_VERSION if is_word(text) else None)


def pieces(name: str, text: str | None) -> dict[str, str]:
    """Spread a long text over fields of at most 64 bytes: name, name1, and so on.

    >>> pieces("alias", "Front desk")
    {'alias': 'Front desk'}
    """
    pieces: dict[str, str] = {}
    while text:
        piece = shorten(text, FIELD_BYTES)
        pieces[f"{name}{len(pieces) or ''}"] = piece
        text = text[len(piece) :]
    return pieces


def _alias_of(packed: Mapping[str, str]) -> str | None:
    """Return the alias whose pieces are spread over fields."""
    parts: list[str] = []
    while part := packed.get(f"alias{len(parts) or ''}"):
        parts.append(part)
    return "".join(parts) or None


def _is_alias(name: str) -> bool:
    return name == "alias" or (name.startswith("alias") and name[5:].isascii() and name[5:].isdecimal())


def _only_newer_knows(packed: Mapping[str, str]) -> str:
    """Return what only a newer version can go on with, as a person reads it; "" if this one can.

    The scripts decide by the same rule, which is `is_newer` of `lua/lib/schema.lua`.
    """
    if is_newer_schema(packed.get("v")):
        return f"schema {packed['v'][:9]}"
    if packed.get("state") in FINAL or _is_shown(packed):
        return ""
    for name, words in _WORDS.items():
        word = packed.get(name)
        if word is not None and word not in words and is_word(word):
            return f"{name} {word}"
    return ""


def _is_shown(packed: Mapping[str, str]) -> bool:
    """Whether these fields are what `_as_this_version_shows_it` has made."""
    return packed.get("reason") == Reason.NEWER_VERSION


def _as_this_version_shows_it(packed: Mapping[str, str], unknown: str) -> dict[str, str]:
    """Return the fields of a newer version's record that this one can read, in a state that it knows."""

    def is_readable(name: str, text: str) -> bool:
        if name in _NUMBERS:
            return text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER
        return name in _SHOWN_OF_NEWER or _is_alias(name)

    readable = {name: text for name, text in packed.items() if is_readable(name, text)}
    lane, channel = packed.get("lane"), packed.get("channel", "")
    return {"request": "0", **readable} | {
        "state": State.WAITING,
        "reason": Reason.NEWER_VERSION,
        "detail": unknown,
        "lane": lane if lane in _LANES_BY_NAME else Lane.BULK,
        "channel": channel if is_word(channel) else "sms",
    }


def _lane_of(word: str) -> Lane:
    """Return the lane of a record that may be final, and then have one that only a newer version knows."""
    return _LANES_BY_NAME.get(word) or (Lane.BULK if is_word(word) else Lane(word))


def _reason_and_detail(packed: Mapping[str, str]) -> tuple[Reason | None, str | None]:
    reason, detail = packed.get("reason"), packed.get("detail")
    if reason is None or reason in _REASONS_BY_NAME or not is_word(reason):
        return (None if reason is None else Reason(reason)), detail
    return Reason.NEWER_VERSION, f"reason {reason}" + (f": {detail}" if detail else "")


def _unpack_history(packed: str) -> Iterable[Change]:
    for start in range(0, len(packed), _CHANGE_LENGTH):
        letter, reason, seconds = packed[start], packed[start + 1], packed[start + 2 : start + _CHANGE_LENGTH]
        at = datetime.fromtimestamp(int(seconds, 36), UTC)
        if letter in _STATES:
            newer = None if reason == "-" else Reason.NEWER_VERSION
            yield Change(at, _STATES[letter], _REASONS.get(reason, newer))
        else:
            yield Change(at, State.WAITING, Reason.NEWER_VERSION)
