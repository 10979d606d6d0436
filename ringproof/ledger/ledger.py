"""The ledger: one record for each number in Redis, and the scripts that alone change it.

A broker may lose a message or deliver it twice, so messages decide nothing: the record is the truth. A script in
`ringproof/ledger/lua/` makes each change as a whole or not at all, by the clock of Redis. `keys.py` lists the keys.

`Ledger` is the connection, the scripts, and what happens to a number: accept, begin, settle, cancel, read. Each
other subject has a module of functions whose first argument is the ledger: `pace.reserve_slot(ledger)`,
`agenda.work_off_agenda(ledger, …)`, `control.pause(ledger)`, `confirmation.take_code(ledger, …)`.
All of them raise `LedgerUnavailable` if Redis refuses, does not answer in time, or is out of memory.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

import redis
from redis.commands.core import Script

from ringproof.clock import SlotClock, boot_clock, epoch_ms, moment
from ringproof.errors import LedgerDamaged, LedgerUnavailable, TooFewReplicas
from ringproof.ledger.acceptance import COLUMNS, Acceptance, RequestKind
from ringproof.ledger.answers import VERDICTS, Begun, Outcome, Settled, Settlement, Verdict, Written
from ringproof.ledger.clock_watch import CLOCK_IS_ANOTHER, ClockWatch
from ringproof.ledger.connection import cause_of, is_damage
from ringproof.ledger.durations import Durations, ms, optional_ms
from ringproof.ledger.generation import GenerationWatch
from ringproof.ledger.in_one_go import in_one_go
from ringproof.ledger.keys import Keys
from ringproof.ledger.last_accepts import LastAccepts
from ringproof.ledger.record import Lane, Record, State, pieces
from ringproof.ledger.replication import CONFIRMED, Performed, Replicas, ReplicasMissing, replication_of
from ringproof.ledger.rights import is_missing_right, missing_rights
from ringproof.ledger.role import Role
from ringproof.ledger.script_call import ScriptCall
from ringproof.ledger.scripts import script_text
from ringproof.phone.masking import mask, shorten
from ringproof.policy import Policy
from ringproof.secret_str import SecretStr

P = ParamSpec("P")
T = TypeVar("T")

_USERS: Final = "docs/operating/redis.md#users-with-restricted-rights"

_script_text = cache(script_text)  # the same for all ledgers of a process


def _made(build: Callable[Concatenate["Ledger", P], ScriptCall[T]]) -> Callable[Concatenate["Ledger", P], T]:
    """Return a method of the ledger that makes the call which another one builds, and returns what it answers."""

    def make(self: "Ledger", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.do(build(self, *args, **kwargs))

    make.__doc__ = build.__doc__
    return make


class Ledger:
    """The typed functions in front of the scripts. Thread-safe; a process needs one.

    A number's way through it, with `ledger = Ledger(connect("redis://localhost:6379/0"))`:

        accepted = ledger.accept("+14155550123", token="order 17")
        assert accepted.disposition is Disposition.ACCEPTED
        (begun,) = ledger.begin([("+14155550123", accepted.request)])
        while begun.verdict is Verdict.LATER:
            time.sleep(begun.wait.total_seconds())
            (begun,) = ledger.begin([("+14155550123", accepted.request)])
        sent = Outcome(State.CODE_SENT, verification_uuid="3fa85f64-5717-4562-b3fc-2c963f66afa6")
        assert ledger.settle("+14155550123", accepted.request, begun.fence, sent) is Settled.SETTLED
        assert str(ledger.read("+14155550123")) == "+1•••••••23 code_sent"
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str = "ringproof",
        shown_url: str = "",
        policy: Policy = Policy(),  # noqa: B008  # frozen
        durations: Durations = Durations(),  # noqa: B008  # frozen
        clock: str | None = None,
        role: Role = Role.PRODUCER,
        credentials: str = "",
        replicas: int | None = 0,
    ) -> None:
        self.client = client
        self.role = role
        self._are_rights_checked = not client.connection_pool.connection_kwargs.get("username")
        self.keys = Keys(prefix)
        self.shown_url = shown_url
        self.policy = policy  # applies where Redis has none: before the first worker, and after Redis was emptied
        self.durations = durations
        self.credentials = credentials
        self.slot_clock = SlotClock()
        self.replication = replication_of(client, replicas)
        self.last_accepts = LastAccepts(self)
        self.clock_watch = ClockWatch()
        self._way = _BlockingWay(self)
        self.generation = GenerationWatch(self)
        written = "".join(f" {name}={value}" for name, value in durations.mapping().items())
        if credentials:  # a digest of what this process uses at Plivo, by which lua/lib/credentials.lua judges it
            written = f" credentials={credentials}{written}"
        self._config = f"{written}\n{json.dumps(policy.mapping(), separators=(',', ':'))}"
        self._lua_clock = clock
        self._scripts: dict[str, Script] = {}

    def accepting(
        self,
        number: str,
        *,
        token: str,
        kind: RequestKind = RequestKind.PERSON,
        lane: Lane = Lane.INTERACTIVE,
        channel: str = "sms",
        alias: str | None = None,
        subaccount: str | None = None,
        country: str | None = None,
        requester: str | None = None,
        again: int | None = None,
        reverify_after_days: int | None = None,
        remember: timedelta | None = None,
        trace: str | None = None,
        request: int | None = None,
    ) -> ScriptCall[Acceptance]:
        """Take a new request for a number into the ledger, or say why not. The table is `acceptance.TABLE`.

        This builds the call, and `accept` makes it: `ledger.accept("+14155550123", token="order 17", country="US")`.

        A second call with the same `token`, within 15 minutes or within `remember`, returns the same answer and
        changes nothing. `again` is the doubtful request that Ringproof itself repeats: the answer is GONE if its doubt
        has ended meanwhile, or its batch was cancelled. `reverify_after_days` is the number's own period of
        re-verification: 0 for never, None for the policy's. `requester` is whom the web app names as the one who asks.
        Redis keeps only its HMAC. `trace` is the traceparent of the request, if it is traced. `request` is the number
        that the request had before Redis forgot it: it gets it again, or GONE if there is a newer one.
        """
        from ringproof.phone.number import is_personal  # noqa: PLC0415  # ringproof status needs no phonenumbers

        fields = {"subaccount": subaccount, "trace": trace, **pieces("alias", alias)}
        if is_personal(number):
            fields["personal"] = "1"
        if again is not None:
            fields["again"] = str(again)
        if kind is RequestKind.REVERIFICATION:
            fields["reverifies"] = "1"
        if reverify_after_days is not None:
            fields["reverify_after"] = str(reverify_after_days)
        return ScriptCall(
            "number/accept",
            [self.keys.record(number), self.keys.token(token)],
            [
                number,
                COLUMNS[kind],
                int(kind is RequestKind.RESEND),
                lane,
                ms(self.durations.request(lane)),
                ms(remember or self.durations.token),
                channel,
                country or "",
                requester or "",
                secrets.token_hex(32),
                request or "",
                *(part for name, value in fields.items() if value for part in (name, value)),
            ],
            Acceptance.read,
        )

    accept = _made(accepting)

    def follow(self, record: Record, *, token: str, kind: RequestKind, lane: Lane, again: bool = False) -> Acceptance:
        """Accept a request that follows a record: with the same channel, alias, subaccount and country.

        With `again` it is the automatic resend after the doubt of the record's request.
        """
        return self.accept(
            record.phone_number,
            token=token,
            kind=kind,
            lane=lane,
            channel=record.channel,
            alias=record.alias,
            subaccount=record.subaccount,
            country=record.country,
            again=record.request if again else None,
            trace=record.trace if again else None,
        )

    def begin(
        self,
        requests: Sequence[tuple[str, int]],
        *,
        fence: str | None = None,
        patience: timedelta = timedelta(days=1),
        asleep: Mapping[str, datetime] | None = None,
        lead: float = 0.0,
    ) -> list[Begun]:
        """Reserve a slot for each (number, request) and claim it. Returns one `Begun` for each, in the same order.

        BEGUN: this caller alone sends for the number, at its slot and well before its lease ends.
        ELSEWHERE: it stays queued for a worker whose credentials Plivo knows: give it a new message.
        LATER: the number stays queued; call again at `at`. The turn is reserved for you if `at` is within `patience`.
        A second call with the same fence returns the same answers, or LATER if a slot was revoked by a pause, a 429 or
        other rates. `asleep` maps a number in its quiet hours to their end: it gets no code before. `lead` is how many
        seconds the caller needs, after it has the answer, until it can send: no slot comes earlier. NOTHING also for a
        number whose record is damaged, so that the others have their answers.

            ledger.begin([("+14155550123", 1764376884)])
            # [Begun(verdict=BEGUN, wait=timedelta(microseconds=16867), at=3061.4, at_us=1764376884216867, …)]
        """
        token = fence or secrets.token_hex(8)
        until = asleep or {}
        reach_us = self.reach_us()
        asked_at = boot_clock()
        generation = self.generation
        try:
            performed = self._perform(
                "number/begin",
                [self.keys.record(number) for number, _ in requests],
                [
                    token,
                    ms(patience),
                    reach_us,
                    round(lead * 1_000_000),
                    generation.seen if generation.memory is not None else "",
                    generation.member,
                    *(part for pair in requests for part in (*pair, epoch_ms(until.get(pair[0])))),
                ],
            )
        except TooFewReplicas:
            self._give_back(requests, token)  # an earlier call with this fence may have claimed them
            raise
        now_us, seen, *answers = performed.answer
        generation.note_answer(seen)
        local = self.slot_clock.locate(asked_at, performed.answered_at, int(now_us), performed.confirmed_at)
        if performed.missing:
            verdicts = (verdict for verdict, *_ in answers)
            claimed = [one for one, verdict in zip(requests, verdicts, strict=True) if verdict == Verdict.BEGUN]
            if claimed:
                self._give_back(claimed, token)
                raise TooFewReplicas(self.shown_url, f"{performed.missing}; nothing is sent")
        self._remember(requests, answers, token, asked_at, local)

        def begun(number: str, verdict: str, at_us: str, flat: Sequence[str]) -> Begun:
            at = int(at_us)
            wait = timedelta(microseconds=max(0, at - int(now_us)))
            try:
                record = self.record_of(number, flat)
            except LedgerDamaged:
                return Begun(Verdict.NOTHING, wait, local(at), at, token, None)
            return Begun(VERDICTS[verdict], wait, local(at), at, token, record)

        return [begun(number, *answer) for (number, _), answer in zip(requests, answers, strict=True)]

    def _give_back(self, claimed: Sequence[tuple[str, int]], fence: str) -> None:
        """Queue numbers again that this fence has begun, and nothing was sent to: a failover could forget the claim.

        If Redis does not take this, a call of begin with the same fence finds the claims.
        """
        back = Outcome(State.QUEUED, wait=self.durations.enqueue_again, counted=False)
        with suppress(LedgerUnavailable):
            self.settle_many([Settlement(number, request, fence, back) for number, request in claimed])

    def _remember(
        self,
        requests: Sequence[tuple[str, int]],
        answers: Sequence[Sequence[Any]],
        fence: str,
        asked_at: float,
        local: Callable[[int], float],
    ) -> None:
        """Remember what was begun, if this process does. What was taken back is forgotten."""
        memory = self.generation.memory
        if memory is None:
            return
        has_begun = False
        for (number, request), (verdict, at_us, flat) in zip(requests, answers, strict=True):
            if verdict == Verdict.BEGUN:
                memory.note_begun(number, request, fence, asked_at, local(int(at_us)), flat)
                has_begun = True
            else:
                memory.forget(number, request, fence)
        if has_begun:
            self.generation.watch()

    def reach_us(self) -> int:
        """Return how far this process is from Redis, for the scripts that give slots: see `SlotClock.reach`.

        The first call measures the distance. The very first answer does not count: it may have waited for a connection.
        """
        if not self.slot_clock.is_set:
            self.run_script("now")
            for _ in range(3):
                asked_at = boot_clock()
                now_us = int(self.run_script("now"))
                self.slot_clock.locate(asked_at, boot_clock(), now_us)
        return round(self.slot_clock.reach * 1_000_000)

    def settle(
        self, number: str, request: int, fence: str, outcome: Outcome, *, ago: timedelta = timedelta()
    ) -> Settled:
        """Write down the result of an attempt. `ago` is the time since the attempt ended.

        Repeat the call until it returns: a second one returns ALREADY and changes nothing. STALE: the attempt is
        not, or no longer, this caller's.

            ledger.settle("+14155550123", 1764376884, begun.fence, Outcome(State.FAILED, Reason.REJECTED, "400 …"))
            # Settled.SETTLED
        """
        (written,) = self.settle_many([Settlement(number, request, fence, outcome, ago)])
        return written.settled

    def settle_many(self, settlements: Sequence[Settlement], *, is_promised: bool = False) -> list[Written]:
        """Write down the results of several attempts in one call. Returns one `Written` for each, in the same order.

        Each one is decided alone, as by `settle`: one that is stale does not touch the others. The call takes the time
        of Redis that one takes, times their number, so its caller bounds it. `is_promised`: see `run_script`.
        """
        if not settlements:
            return []
        if self.generation.memory is not None:
            self.generation.memory.note_settled(settlements)

        def arguments(one: Settlement) -> list[Any]:
            return [
                one.phone_number,
                one.request,
                one.fence,
                one.outcome.state,
                one.outcome.reason or "",
                shorten(one.outcome.detail),
                ms(one.outcome.wait),
                int(not one.outcome.counted),
                one.outcome.verification_uuid,
                one.outcome.api_id,
                ms(one.ago),
                one.outcome.plivo_signal,
                optional_ms(one.outcome.retry_after),
            ]

        answers = self.run_script(
            "number/settle",
            [self.keys.record(one.phone_number) for one in settlements],
            [part for one in settlements for part in arguments(one)],
            is_promised=is_promised,
        )
        return [Written.unpack(*answer) for answer in answers]

    def cancel(self, number: str, request: int) -> Settled:
        """Take back a request that has not begun. STALE: it has begun or ended, or a newer request has replaced it.

        Raises `TooFewReplicas` if a failover could forget it, and send the code: repeat the call, and it is ALREADY.
        """
        (written,) = self.settle_many([Settlement(number, request, "", Outcome(State.CANCELLED))], is_promised=True)
        return written.settled

    def read(self, number: str, request: int | None = None) -> Record | None:
        """Return a number's record. With `request`, return the record of that request, even if a newer one replaced it.

        Returns None if the number or the request is unknown here, or no longer kept. Raises `LedgerDamaged` if what
        Redis has of it is no record.

            ledger.read("+14155550123")
            # Record(state=CODE_SENT, request=1764376884, lane=INTERACTIVE, channel="sms", attempts=1, …)
        """
        return in_one_go(self.read_by(self._way, number, request))

    async def read_by(self, way: "Way", number: str, request: int | None = None) -> Record | None:
        """Read a record as `read` does."""
        packed: dict[str, str] = await way.run("hgetall", self.keys.record(number))
        newest = self.unpack(number, packed)
        if newest and request in {None, newest.request}:
            return newest
        flat = await way.run("hget", self.keys.earlier(number), str(request)) if request else None
        return self.record_of(number, json.loads(flat)) if flat else None

    def read_many(self, requests: Sequence[tuple[str, int | None]]) -> list[Record | None]:
        """Read many records in one round trip, and two more for each request that is not its number's newest."""
        newest = self.run_all(*(("hgetall", self.keys.record(number)) for number, _ in requests))
        records = [self.unpack(number, packed) for (number, _), packed in zip(requests, newest, strict=True)]
        return [
            record if record and request in {None, record.request} else self.read(number, request)
            for (number, request), record in zip(requests, records, strict=True)
        ]

    def record_of(self, number: str, flat: Sequence[str]) -> Record | None:
        """Return a record that a script has returned as pairs; None if there is none. Failures are those of `read`."""
        return self.unpack(number, dict(zip(flat[::2], flat[1::2], strict=True)))

    def publish_policy(self, policy: Policy) -> None:
        """Write the workers' policy into Redis, where all scripts read it."""
        self.run("hset", self.keys.policy, mapping=policy.mapping())

    def now(self) -> datetime:
        """Return the time of Redis."""
        return moment(int(self.run_script("now")) // 1000)

    def ping(self) -> None:
        """Raise `LedgerUnavailable` unless Redis answers."""
        self.run("ping")

    def look_at_replicas(self) -> Replicas | None:
        """Ask Redis for its replicas; None without the right to INFO."""
        seen: Replicas | None = self._run(self.replication.look)
        return seen

    def check_rights(self) -> None:
        """Raise `LedgerUnavailable` unless Redis' user may do what this process's role needs. The error says how."""
        try:
            missing = missing_rights(self.client, self.role, self.keys.prefix)
        except redis.RedisError as error:
            raise LedgerUnavailable(self.shown_url, cause_of(error)) from None
        if missing:
            raise self.without(missing)

    def run_script(
        self, name: str, keys: Sequence[str] = (), args: Sequence[Any] = (), *, is_promised: bool = False
    ) -> Any:
        """Run a script with its own keys, the arguments that all scripts get, and then its own.

        Raises `TooFewReplicas` if a failover could forget what it has changed, and it is one of CONFIRMED, or this call
        of it `is_promised` to somebody.
        """
        return self.answer_of(self._perform(name, keys, args, is_promised=is_promised))

    def do(self, call: ScriptCall[T]) -> T:
        """Make a call. The errors are those of `run_script`."""
        return call.read(self.run_script(call.name, call.keys, call.args))

    def answer_of(self, performed: Performed) -> Any:
        """Return a script's answer. Raises `TooFewReplicas` if a failover could forget what the script has changed."""
        if performed.missing:
            raise TooFewReplicas(self.shown_url, f"{performed.missing}; it is done, and a failover could forget it")
        return performed.answer

    def run_safely(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run a script, and give replicas a moment to confirm it. Goes on without them: what is forgotten is found."""
        return self._perform(name, keys, args, is_promised=True).answer

    def _perform(self, name: str, keys: Sequence[str], args: Sequence[Any], *, is_promised: bool = False) -> Performed:
        return in_one_go(self.perform_by(self._way, name, keys, args, is_promised=is_promised))

    async def perform_by(
        self, way: "Way", name: str, keys: Sequence[str], args: Sequence[Any], *, is_promised: bool = False
    ) -> Performed:
        """Run a script, and again if Redis' clock has jumped.

        Before the first one, check the rights of a user that Redis' URL names: a script that Redis ends at a command
        that it refuses has done the commands before.
        """
        if not self._are_rights_checked:
            await way.check_rights()
            self._are_rights_checked = True
        expected_us = self.clock_watch.expected_us()
        if expected_us is None:
            expected_us = await way.measure_clock()
        try:
            return await self.perform_once_by(way, name, keys, args, expected_us, is_promised=is_promised)
        except LedgerUnavailable as error:
            if error.cause != CLOCK_IS_ANOTHER:
                raise
        await way.measure_clock()
        return await self.perform_once_by(way, name, keys, args, is_promised=is_promised)

    async def perform_once_by(
        self,
        way: "Way",
        name: str,
        keys: Sequence[str] = (),
        args: Sequence[Any] = (),
        expected_us: int | None = None,
        *,
        is_promised: bool = False,
    ) -> Performed:
        """Run a script. If Redis' time is not `expected_us`, nothing is done, and the cause is CLOCK_IS_ANOTHER."""
        prefix = self.keys.prefix if expected_us is None else f"{self.keys.prefix} {expected_us}"
        arguments = [self._config, prefix, *args]
        if name not in CONFIRMED and not is_promised:
            answer = await way.run_script(name, keys, arguments)
            now = boot_clock()
            return Performed(answer, now, now)
        try:
            return await way.run_confirmed(name, keys, arguments)
        except ReplicasMissing as error:
            missing = str(error)
        raise TooFewReplicas(self.shown_url, f"{missing}; nothing is accepted or sent")

    def script(self, name: str) -> Script:
        """Return a script of `ringproof/ledger/lua` with the pieces that it needs in front of it."""
        if name not in self._scripts:
            self._scripts[name] = self.client.register_script(_script_text(name, self._lua_clock))
        return self._scripts[name]

    def run(self, command: str, *args: Any, **options: Any) -> Any:
        """Run a command that reads, or that does no harm if it runs twice."""
        return self._run(getattr(self.client, command), *args, **options)

    def run_all(self, *commands: tuple[Any, ...], of_one_moment: bool = False) -> list[Any]:
        """Run several commands that only read, in one round trip: `run_all(("llen", "a"), ("hget", "b", "state"))`."""

        def at_once() -> list[Any]:
            with self.client.pipeline(transaction=of_one_moment) as pipeline:
                for command, *args in commands:
                    getattr(pipeline, command)(*args)
                return pipeline.execute()

        answers: list[Any] = self._run(at_once)
        return answers

    def try_all(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run several commands in one round trip, each for itself: a refusal is a `LedgerUnavailable` in its place.

        `("run_script", name)` is a script that only reads, and has no keys and arguments of its own. Raises
        `LedgerUnavailable` if Redis does not answer.

            ledger.try_all(("llen", "ringproof.bulk"), ("run_script", "pace/current_share"))  # [12, "1"]
        """

        def at_once() -> list[Any]:
            with self.client.pipeline(transaction=False) as pipeline:
                for command, *args in commands:
                    if command == "run_script":
                        pipeline.evalsha(self.script(args[0]).sha, 0, self._config, self.keys.prefix)
                    else:
                        getattr(pipeline, command)(*args)
                return pipeline.execute(raise_on_error=False)

        answers: list[Any] = self._run(at_once)
        if any(isinstance(one, redis.exceptions.NoScriptError) for one in answers):  # Redis has not had them yet
            for command, *args in commands:
                if command == "run_script":
                    self.run("script_load", self.script(args[0]).script)
            answers = self._run(at_once)
        return [
            LedgerUnavailable(self.shown_url, cause_of(one), is_refusal=True)
            if isinstance(one, redis.RedisError)
            else one
            for one in answers
        ]

    def unavailable(self, error: redis.RedisError) -> LedgerUnavailable:
        """Return an error of redis-py as a `LedgerUnavailable`. It says how to give a right that is missing."""
        if is_missing_right(error):
            with suppress(redis.RedisError):
                if missing := missing_rights(self.client, self.role, self.keys.prefix):
                    return self.without(missing)
        return self.failure_of(error)

    def failure_of(self, error: redis.RedisError) -> LedgerUnavailable:
        """Return an error of redis-py as a `LedgerUnavailable`, and ask Redis nothing more."""
        if is_damage(error):
            return LedgerDamaged(self.shown_url, cause_of(error))
        return LedgerUnavailable(self.shown_url, cause_of(error), is_refusal=isinstance(error, redis.ResponseError))

    def unpack(self, number: str, packed: Mapping[str, str]) -> Record | None:
        """Return the record of a number as its hash has it; None without one. Raises `LedgerDamaged`."""
        try:
            return Record.unpack(number, packed) if packed else None
        except (ValueError, LookupError, OverflowError):
            raise LedgerDamaged(self.shown_url, f"the record of {mask(number)} has junk in its fields") from None

    def without(self, missing: str) -> LedgerUnavailable:
        """Return the error that rights are missing."""
        remedy = f"give them as Redis' administrator: {missing} ({_USERS})"
        return LedgerUnavailable(self.shown_url, f"its user lacks rights of a {self.role}", remedy, is_refusal=True)

    def _run(self, command: Script | Any, *args: Any, **options: Any) -> Any:
        """Run a command, and once more if its connection was dead: a token or fence makes a change count once."""
        try:
            try:
                return command(*map(written, args), **options)
            except redis.ConnectionError:
                return command(*map(written, args), **options)
        except redis.RedisError as error:
            unavailable = self.unavailable(error)
        # Not from that error: crash reporters record its frames, and redis-py's hold what was to be written.
        raise unavailable


class Way(Protocol):
    """How a ledger reaches Redis: its steps block, or they are awaited (`ringproof.aio`)."""

    async def check_rights(self) -> None:
        """Raise `LedgerUnavailable` unless Redis' user may do what this process's role needs."""

    async def measure_clock(self) -> int:
        """Measure Redis' clock for `ledger.clock_watch`, and return its time (µs)."""

    async def run(self, command: str, *args: Any) -> Any:
        """Run a command that reads, or that does no harm if it runs twice."""

    async def run_script(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script with all of its arguments, and return its answer."""

    async def run_confirmed(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Performed:
        """Run a script, and have replicas confirm it. Raises `ReplicasMissing`."""


class _BlockingWay:
    """The ledger's own way. Each step of it blocks, and none suspends."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def check_rights(self) -> None:
        self._ledger.check_rights()

    async def measure_clock(self) -> int:
        return self._ledger.clock_watch.measure(self._run_once)

    async def _run_once(self, *call: Any) -> Any:
        return (await self._ledger.perform_once_by(self, *call)).answer

    async def run(self, command: str, *args: Any) -> Any:
        return self._ledger.run(command, *args)

    async def run_script(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return self._ledger._run(self._ledger.script(name), keys, arguments)  # noqa: SLF001  # its own way

    async def run_confirmed(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Performed:
        ledger = self._ledger
        performed: Performed = ledger._run(  # noqa: SLF001  # its own way
            ledger.replication.perform, name, ledger.script(name), keys, arguments, ledger.keys.replicas
        )
        return performed


def written(argument: Any) -> Any:
    """Return an argument as redis-py writes it. A secret stays one until here."""
    return argument.get_secret_value() if isinstance(argument, SecretStr) else argument
