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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.resources import files
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from worker.errors import LedgerUnavailable
from worker.pace import Policy
from worker.record import LETTERS, Lane, Reason, Record, State, cut, moment, pieces


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

    lease: timedelta = timedelta(seconds=45)  # from the slot: 20 s for the first byte, 10 s for the answer, 15 to spare
    first_byte: timedelta = timedelta(seconds=20)  # from the slot: far beyond 5 s of connecting; later nothing is sent
    code: timedelta = timedelta(minutes=15)  # Plivo's documentation: "valid for 15 minutes"
    enqueue_again: timedelta = timedelta(seconds=30)  # a queued message that nobody took by then is likely lost
    enqueue_again_longest: timedelta = timedelta(minutes=10)  # an hour without a worker: seven messages a number
    look_up: timedelta = timedelta(minutes=1)  # a slot, 15 s of Plivo, and then it is tried again
    interactive: timedelta = timedelta(minutes=15)  # a person has left the page by then
    background: timedelta = timedelta(hours=24)  # bulk and scheduled: over a night, and a day's outage
    token: timedelta = timedelta(minutes=15)  # far beyond any caller's own repetition
    earlier: timedelta = timedelta(hours=24)  # Celery's default for how long a result is kept

    def request(self, lane: Lane) -> timedelta:
        """How long a request of this lane may take until it is sent."""
        return self.interactive if lane is Lane.INTERACTIVE else self.background


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


class Due(StrEnum):
    """What was done with an entry of the agenda that was due."""

    ENQUEUE = "enqueue"
    HELD = "held"
    TOO_LATE = "too_late"
    DOUBTED = "doubted"
    EXPIRED = "expired"
    LOOK_UP = "look_up"
    KEPT = "kept"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Worked:
    """One entry of the agenda, and what was done with it."""

    due: Due
    phone_number: str = field(repr=False)
    request: int
    lane: Lane


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


LONGEST_QUEUE: Final = 1000
"""Messages that a lane's queue may hold while numbers are enqueued again: beyond it workers are busy, not deaf."""

SOCKET_SECONDS: Final = 3.0
"""How long Redis may take for one command: far beyond any script's time, and two of them are still bearable."""


MAX_CONNECTIONS: Final = 100_000
"""A thread that waits for a result holds one. redis-py's own bound of 100 would starve a web app of many threads."""


def connect(url: str) -> redis.Redis:
    """Return a client that never repeats a command by itself: redis-py would, up to ten times."""
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
        max_connections=MAX_CONNECTIONS,
    )


class Ledger:
    """The typed functions in front of the scripts. Thread-safe; one per process."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str = "ringproof",
        shown_url: str = "",
        policy: Policy = Policy(),  # noqa: B008  # frozen
        durations: Durations = Durations(),  # frozen
        clock: str | None = None,
    ) -> None:
        self.client = client
        self.prefix = prefix
        self.shown_url = shown_url
        self.policy = policy  # holds where Redis has none: before the first worker, and when it was emptied
        self.durations = durations
        letters = ", ".join(f"{name} = '{letter}'" for name, letter in LETTERS.items())
        preamble = "\n".join(
            (_lua("now") if clock is None else clock, f"local LETTERS = {{{letters}}}", _lua("record"))
        )
        self._accept, self._begin, self._settle, self._due, self._mend = (
            client.register_script(preamble + _lua(name)) for name in ("accept", "begin", "settle", "due", "mend")
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
        again: bool = False,
        remember: timedelta | None = None,
    ) -> Acceptance:
        """Take in a new request for `number` (E.164), or say why not. `again`: it repeats a doubtful one, by itself.

        The same token again, within 15 minutes or what `remember` says, gets the same answer and changes nothing.
        """
        facts = {"channel": channel, "subaccount": subaccount, "country": country, **pieces("alias", alias)}
        facts["again"] = "1" if again else None
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
                self.policy.cooldown_ms,
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
        answers = self._reserve(token, requests)
        return [
            Begun(
                verdict := Verdict(told),
                timedelta(microseconds=int(at)) if verdict is Verdict.BEGUN else timedelta(),
                token,
                Record.read(number, _mapping(flat)) if flat else None,
            )
            for (number, _), (told, at, flat) in zip(requests, answers, strict=True)
        ]

    def book(self) -> timedelta:
        """Reserve a slot for a request that sends no code; return the time until it."""
        return timedelta(microseconds=int(self._reserve("", ())))

    def _reserve(self, fence: str, requests: Sequence[tuple[str, int]]) -> Any:
        default = self.policy
        return self._run(
            self._begin,
            [
                self._key("agenda"),
                self._key("bucket", "account"),
                self._key("policy"),
                *(self._record(number) for number, _ in requests),
            ],
            [
                fence,
                _ms(self.durations.lease),
                _ms(self.durations.code),
                default.rate.window_us,
                default.rate.spacing_us,
                default.cooldown_ms,
                default.record_ms,
                *(part for pair in requests for part in pair),
            ],
        )

    def settle(
        self, number: str, request: int, fence: str, outcome: Outcome, *, ago: timedelta = timedelta()
    ) -> Settled:
        """Tell what became of an attempt, `ago`. Repeat it until it answers: the second time says `already`."""
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
                    self.policy.record_ms,
                    outcome.verification_uuid,
                    outcome.api_id,
                    _ms(ago),
                ],
            )
        )

    def due(self, limit: int, queues: Mapping[Lane, str]) -> list[Worked]:
        """Work off at most `limit` entries of the agenda that are due, oldest first; `queues` are Celery's.

        Every transition that time makes is done here. What it cannot do is left to the caller: to send the messages
        of what is to be enqueued, and to look up the doubtful. Whoever dies before that loses nothing: they are due
        again.
        """
        times = self.durations
        worked = self._run(
            self._due,
            [self._key("agenda"), self._key("policy"), *(queues[lane] for lane in Lane)],
            [
                limit,
                self._record(""),
                _ms(times.enqueue_again),
                _ms(times.enqueue_again_longest),
                LONGEST_QUEUE,
                _ms(times.look_up),
                self.policy.record_ms,
            ],
        )
        return [Worked(Due(what), number, int(request), Lane(lane)) for what, number, request, lane in worked]

    def mend(self, records: int) -> int:
        """Look at about so many records, where the last call stopped; put lost ones back on the agenda.

        Returns how many were put back. Nothing of ours loses an entry; a person with `redis-cli` may.
        """
        place = self._key("slow_hand")
        cursor = int(self._run(self.client.get, place) or 0)
        cursor, keys = self._run(self.client.scan, cursor, match=self._record("*"), count=records)
        self._run(self.client.set, place, cursor)
        numbers = [key.removeprefix(self._record("")) for key in keys]
        return int(self._run(self._mend, [self._key("agenda"), *keys], numbers)) if keys else 0

    def waiting(self, queue: str) -> int:
        """Return how many messages wait in a Celery queue of this Redis."""
        return int(self._run(self.client.llen, queue))

    def tick(self, name: str, every: timedelta) -> bool:
        """Take a tick of this name; False if another took one less than `every` ago."""
        return bool(self._run(self.client.set, self._key("tick", name), 1, nx=True, px=_ms(every)))

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


def _mapping(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def _lua(name: str) -> str:
    return files("worker").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8") + "\n"
