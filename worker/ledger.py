"""The ledger: one record per number, and the scripts through which alone it changes.

The broker may lose a message or deliver it twice; the record is the truth. Every function here is one atomic script
in `worker/lua/`; all time is Redis' own. Keys, with `{P}` for the prefix:

    {P}:number:{+E164}    the record, a packed hash          {P}:earlier:{+E164}   outcomes of replaced requests
    {P}:agenda            sorted set, number @ when (ms)     {P}:token:{token}     answers already given
    {P}:bucket:account    the next free slot (µs)            {P}:policy            what workers told the scripts

Every method raises `LedgerUnavailable` when Redis refuses, does not answer in time, or is out of memory.
"""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.resources import files
from typing import Any, Final, Self

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from worker.errors import LedgerUnavailable
from worker.pace import Policy
from worker.phone import mask


class State(StrEnum):
    """Where a request stands."""

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
    def final(self) -> bool:
        """Whether time alone changes nothing any more."""
        return self in {State.VERIFIED, State.EXPIRED, State.FAILED, State.CANCELLED}


class Reason(StrEnum):
    """Why a request waits or has failed."""

    PAUSED = "paused"
    PACE = "pace"
    COOLDOWN = "cooldown"
    UNREACHABLE = "unreachable"
    REJECTED = "rejected"
    FORBIDDEN = "forbidden"
    TOO_LATE = "too_late"


class Lane(StrEnum):
    """Who waits for a number: a person now, a schedule, a roster."""

    INTERACTIVE = "interactive"
    SCHEDULED = "scheduled"
    BULK = "bulk"


class Newcomer(StrEnum):
    """Who asks: a person, a person again (`resend=True`), or a roster or schedule."""

    PERSON = "a new request"
    RESEND = "with `resend=True`, cooldown over"
    ROSTER = "from bulk or schedule"


class Disposition(StrEnum):
    """What becomes of a new request."""

    ACCEPTED = "accepted"
    SAME = "same"
    RETURNED = "returned"
    IN_DOUBT = "in_doubt"
    JOINED = "joined"
    LIVE = "live"
    VERIFIED = "verified"
    COOLING_DOWN = "cooling_down"


_D = Disposition
_FREE = (_D.ACCEPTED, _D.ACCEPTED, _D.ACCEPTED)
_OPEN = (_D.SAME, _D.SAME, _D.JOINED)
_ENDED = (_D.RETURNED, _D.ACCEPTED, _D.LIVE)
_KNOWN = (_D.RETURNED, _D.ACCEPTED, _D.VERIFIED)

TABLE: Final[Mapping[tuple[State | None, bool], Mapping[Newcomer, Disposition]]] = {
    situation: dict(zip(Newcomer, answers, strict=True))
    for situation, answers in {
        (None, False): _FREE,
        (State.EXPIRED, False): _FREE,
        (State.FAILED, False): _FREE,
        (State.CANCELLED, False): _FREE,
        (State.CODE_SENT, False): _FREE,
        (State.IN_DOUBT, False): _FREE,
        (State.EXPIRED, True): _ENDED,
        (State.FAILED, True): _ENDED,
        (State.CANCELLED, True): _ENDED,
        (State.QUEUED, False): _OPEN,
        (State.QUEUED, True): _OPEN,
        (State.WAITING, False): _OPEN,
        (State.WAITING, True): _OPEN,
        (State.SENDING, False): _OPEN,
        (State.SENDING, True): _OPEN,
        (State.CODE_SENT, True): _ENDED,
        (State.IN_DOUBT, True): (_D.IN_DOUBT, _D.ACCEPTED, _D.LIVE),
        (State.VERIFIED, False): _KNOWN,
        (State.VERIFIED, True): _KNOWN,
    }.items()
}
"""*Record × new request*: for each state, and whether a code may live, what each newcomer is told.

The scripts are handed their column of it, the README prints it, a test walks it: there is no second copy.
"""


@dataclass(frozen=True, slots=True)
class Durations:
    """How long things take. Tests shorten them; nothing else does."""

    lease: timedelta = timedelta(seconds=45)  # 5 s connecting, 10 s for the answer, and 15 s to spare, twice over
    code: timedelta = timedelta(minutes=15)  # Plivo's documentation: "valid for 15 minutes"
    enqueue_again: timedelta = timedelta(seconds=30)  # a queued message that nobody took by then is likely lost
    interactive: timedelta = timedelta(minutes=15)  # a person has left the page by then
    background: timedelta = timedelta(hours=24)  # bulk and scheduled: over a night, and a day's outage
    token: timedelta = timedelta(minutes=15)  # far beyond any caller's own repetition
    earlier: timedelta = timedelta(hours=24)  # Celery's default for how long a result is kept

    def request(self, lane: Lane) -> timedelta:
        """How long a request of this lane may take until it is sent."""
        return self.interactive if lane is Lane.INTERACTIVE else self.background


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a record's history."""

    at: datetime
    state: State
    reason: Reason | None


_LETTERS: Final[Mapping[str, str]] = {
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
    Reason.UNREACHABLE: "u",
    Reason.REJECTED: "r",
    Reason.FORBIDDEN: "f",
    Reason.TOO_LATE: "l",
}
"""The letters of the history. They are in people's Redis: never give one a second meaning."""

_STATES = {letter: State(name) for name, letter in _LETTERS.items() if name in set(State)}
_REASONS = {letter: Reason(name) for name, letter in _LETTERS.items() if name in set(Reason)}
_CHANGE_LENGTH = 8  # a letter for the state, one for the reason, six base-36 digits of the second


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one number. Times are aware, in UTC; what is absent is None or empty."""

    phone_number: str = field(repr=False)
    state: State
    request: int
    lane: Lane = Lane.INTERACTIVE
    channel: str = "sms"
    alias: str | None = field(default=None, repr=False)
    subaccount: str | None = None
    country: str | None = None
    resend: bool = False
    attempts: int = 0
    reason: Reason | None = None
    detail: str | None = None
    due_at: datetime | None = None
    ends_at: datetime | None = None
    lease_until: datetime | None = None
    live_until: datetime | None = None
    live_before: datetime | None = None
    verification_uuid: str | None = None
    api_id: str | None = None
    code_sent_at: datetime | None = None
    expires_at: datetime | None = None
    verified_at: datetime | None = None
    updated_at: datetime | None = None
    fence: str | None = field(default=None, repr=False)
    history: tuple[Change, ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, phone_number: str, packed: Mapping[str, str]) -> Self:
        """Unpack a record's hash, which is not empty."""

        def when(name: str) -> datetime | None:
            return moment(int(packed[name])) if name in packed else None

        pieces = sorted((name for name in packed if name.startswith("alias")), key=lambda name: int(name[5:] or 0))
        return cls(
            phone_number=phone_number,
            state=State(packed["state"]),
            request=int(packed["request"]),
            lane=Lane(packed["lane"]),
            channel=packed["channel"],
            alias="".join(packed[name] for name in pieces) or None,
            subaccount=packed.get("subaccount"),
            country=packed.get("country"),
            resend="resend" in packed,
            attempts=int(packed.get("attempts", 0)),
            reason=Reason(packed["reason"]) if "reason" in packed else None,
            detail=packed.get("detail"),
            due_at=when("due_at"),
            ends_at=when("ends_at"),
            lease_until=when("lease_until"),
            live_until=when("live_until"),
            live_before=when("live_before"),
            verification_uuid=packed.get("verification_uuid"),
            api_id=packed.get("api_id"),
            code_sent_at=when("code_sent_at"),
            expires_at=when("expires_at"),
            verified_at=when("verified_at"),
            updated_at=when("updated_at"),
            fence=packed.get("fence"),
            history=tuple(_unpack_history(packed.get("history", ""))),
        )

    @property
    def message(self) -> str | None:
        """Plivo's own sentence about the code, rebuilt: it says nothing that the record does not."""
        if self.verification_uuid is None:
            return None
        return f"Verification code is sent to number {self.phone_number} which is valid for 15 minutes"

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return f"{mask(self.phone_number)} {self.state}{why}"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What became of a new request: `request` is the one that now counts for the number (0: none does).

    `until` says for how long, when the disposition is COOLING_DOWN or IN_DOUBT. `promoted`: a person's request has
    taken over one of bulk or schedule, which needs a message in the new lane.
    """

    disposition: Disposition
    request: int
    until: datetime | None
    promoted: bool


class Verdict(StrEnum):
    """What begin says of one number."""

    BEGUN = "begun"
    WAITING = "waiting"
    ENDED = "ended"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Begun:
    """What begin said of one number; `wait` is the time until its slot, `record` is None when there is none."""

    verdict: Verdict
    wait: timedelta
    fence: str = field(repr=False)
    record: Record | None


class Settled(StrEnum):
    """What settle says: done now, done before, or somebody else's turn."""

    SETTLED = "settled"
    ALREADY = "already"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt, as settle is told it."""

    state: State
    reason: Reason | None = None
    detail: str = ""
    wait: timedelta = timedelta()
    counted: bool = True
    verification_uuid: str = ""
    api_id: str = ""


FIELD_BYTES: Final = 64
"""Redis keeps a hash packed while no field is longer (hash-max-listpack-value, and -ziplist- before 7.0)."""

SOCKET_SECONDS: Final = 3.0
"""How long Redis may take for one command: far beyond any script's time, and two of them are still bearable."""


def connect(url: str) -> redis.Redis:
    """Return a client that never repeats a command by itself: redis-py would, up to ten times."""
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


class Ledger:
    """The typed functions in front of the scripts. Thread-safe; one per process."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str = "ringproof",
        shown_url: str = "",
        durations: Durations = Durations(),  # frozen
        clock: str | None = None,
    ) -> None:
        self.client = client
        self.prefix = prefix
        self.shown_url = shown_url
        self.durations = durations
        letters = ", ".join(f"{name} = '{letter}'" for name, letter in _LETTERS.items())
        preamble = "\n".join(
            (_lua("now") if clock is None else clock, f"local LETTERS = {{{letters}}}", _lua("record"))
        )
        self._accept, self._begin, self._settle = (
            client.register_script(preamble + _lua(name)) for name in ("accept", "begin", "settle")
        )

    def accept(
        self,
        number: str,
        *,
        token: str,
        newcomer: Newcomer = Newcomer.PERSON,
        lane: Lane = Lane.INTERACTIVE,
        channel: str = "sms",
        alias: str | None = None,
        subaccount: str | None = None,
        country: str | None = None,
        remember: timedelta | None = None,
    ) -> Acceptance:
        """Take in a new request for `number` (E.164), or say why not.

        The same token again, within 15 minutes or what `remember` says, gets the same answer and changes nothing.
        """
        facts = {"channel": channel, "subaccount": subaccount, "country": country, **_pieces("alias", alias)}
        column = " ".join(
            f"{state or 'none'}{':live' if live else ''}={answers[newcomer]}"
            for (state, live), answers in TABLE.items()
        )
        last = self.durations
        keys = [self._record(number), self._key("agenda"), self._key("token", token), self._key("policy")]
        keys.append(self._key("earlier", number))
        disposition, request, until, promoted = self._run(
            self._accept,
            keys,
            [
                number,
                column,
                int(newcomer is Newcomer.RESEND),
                lane,
                _ms(last.request(lane)),
                _ms(last.enqueue_again),
                _ms(last.code),
                _ms(remember or last.token),
                Policy().cooldown_ms,
                _ms(last.earlier),
                *(part for name, value in facts.items() if value for part in (name, value)),
            ],
        )
        return Acceptance(
            Disposition(disposition),
            int(request),
            moment(int(until)) if until else None,
            promoted=bool(promoted),
        )

    def begin(self, requests: Sequence[tuple[str, int]], *, fence: str | None = None) -> list[Begun]:
        """Reserve a slot and claim, for each (number, request), in their order; say of each what came of it.

        Whoever gets BEGUN, and nobody else, sends for that number: at its slot, and well before its lease ends.
        """
        token = fence or secrets.token_hex(8)
        default = Policy()
        answers = self._run(
            self._begin,
            [
                self._key("agenda"),
                self._key("bucket", "account"),
                self._key("policy"),
                *(self._record(number) for number, _ in requests),
            ],
            [
                token,
                _ms(self.durations.lease),
                _ms(self.durations.code),
                default.rate.window_us,
                default.rate.spacing_us,
                default.cooldown_ms,
                default.record_ms,
                *(part for pair in requests for part in pair),
            ],
        )
        return [
            Begun(
                verdict := Verdict(told),
                timedelta(microseconds=int(at)) if verdict is Verdict.BEGUN else timedelta(),
                token,
                Record.read(number, _mapping(flat)) if flat else None,
            )
            for (number, _), (told, at, flat) in zip(requests, answers, strict=True)
        ]

    def settle(self, number: str, request: int, fence: str, outcome: Outcome) -> Settled:
        """Tell what became of an attempt. Repeat it until it answers: the second time says `already`."""
        return Settled(
            self._run(
                self._settle,
                [self._record(number), self._key("agenda"), self._key("policy")],
                [
                    number,
                    request,
                    fence,
                    outcome.state,
                    outcome.reason or "",
                    cut(outcome.detail),
                    _ms(outcome.wait),
                    int(not outcome.counted),
                    _ms(self.durations.code),
                    Policy().record_ms,
                    outcome.verification_uuid,
                    outcome.api_id,
                ],
            )
        )

    def cancel(self, number: str, request: int) -> Settled:
        """Take back a request that was not begun; `stale` means that it was, or is another's."""
        return self.settle(number, request, "", Outcome(State.CANCELLED))

    def read(self, number: str, request: int | None = None) -> Record | None:
        """Return the number's record, or that of an earlier request as it stood when a newer one replaced it.

        None: unknown here, or no longer kept.
        """
        packed: dict[str, str] = self._run(self.client.hgetall, self._record(number))
        if packed and request in {None, int(packed["request"])}:
            return Record.read(number, packed)
        flat = self._run(self.client.hget, self._key("earlier", number), str(request)) if request else None
        return Record.read(number, _mapping(json.loads(flat))) if flat else None

    def read_many(self, asked: Sequence[tuple[str, int | None]]) -> list[Record | None]:
        """Do what `read` does for many, in one round trip and two more for each that is not its number's newest."""

        def newest() -> list[dict[str, str]]:
            with self.client.pipeline(transaction=False) as pipeline:
                for number, _ in asked:
                    pipeline.hgetall(self._record(number))
                return pipeline.execute()

        return [
            Record.read(number, packed)
            if packed and request in {None, int(packed["request"])}
            else self.read(number, request)
            for (number, request), packed in zip(asked, self._run(newest), strict=True)
        ]

    def tell(self, policy: Policy) -> None:
        """Put the workers' policy where all scripts read it."""
        self._run(self.client.hset, self._key("policy"), mapping=policy.mapping())

    def ping(self) -> None:
        """Raise `LedgerUnavailable` unless Redis answers."""
        self._run(self.client.ping)

    def channel(self, number: str) -> str:
        """Return the pub/sub channel on which every change of the number's record is told."""
        return self._record(number)

    def unavailable(self, error: redis.RedisError) -> LedgerUnavailable:
        """Translate what redis-py raised."""
        return LedgerUnavailable(self.shown_url, f"{type(error).__name__}: {error}" if str(error) else "no answer")

    def _key(self, *parts: str) -> str:
        return ":".join((self.prefix, *parts))

    def _record(self, number: str) -> str:
        return self._key("number", number)

    def _run(self, command: Script | Any, *args: Any, **options: Any) -> Any:
        """Run a command; once more if a pooled connection had died: by its token or fence it counts once."""
        try:
            try:
                return command(*args, **options)
            except redis.ConnectionError:
                return command(*args, **options)
        except redis.RedisError as error:
            raise self.unavailable(error) from error


def moment(milliseconds: int) -> datetime:
    """Return a time of the scripts as an aware datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def cut(text: str, size: int = FIELD_BYTES) -> str:
    """Cut text to what fits into `size` bytes of UTF-8, between characters."""
    return text.encode()[:size].decode(errors="ignore")


def _pieces(name: str, text: str | None) -> dict[str, str]:
    """Spread a long text over fields that each fit: name, name1, and so on."""
    pieces: dict[str, str] = {}
    while text:
        piece = cut(text)
        pieces[f"{name}{len(pieces) or ''}"] = piece
        text = text[len(piece) :]
    return pieces


def _unpack_history(packed: str) -> Iterable[Change]:
    for start in range(0, len(packed), _CHANGE_LENGTH):
        state, reason, seconds = packed[start], packed[start + 1], packed[start + 2 : start + _CHANGE_LENGTH]
        yield Change(datetime.fromtimestamp(int(seconds, 36), UTC), _STATES[state], _REASONS.get(reason))


def _mapping(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def _lua(name: str) -> str:
    return files("worker").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8") + "\n"
