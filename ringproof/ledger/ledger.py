"""The ledger: one record per number, and the scripts through which alone it changes.

The broker may lose a message or deliver it twice; the record is the truth. Every function here is one atomic script
in `ringproof/ledger/lua/`; all time is Redis' own. `ringproof/ledger/keys.py` lists the keys.
Every method raises `LedgerUnavailable` when Redis refuses, does not answer in time, or is out of memory.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import redis
from redis.commands.core import Script

from ringproof.clock import SlotClock, boot_clock, epoch_ms, moment
from ringproof.errors import LedgerUnavailable, Throttled
from ringproof.ledger.acceptance import COLUMNS, Acceptance, Disposition, Requester
from ringproof.ledger.answers import AgendaAction, AgendaResult, Begun, Outcome, PlivoSignal, Settled, Verdict
from ringproof.ledger.connection import cause_of
from ringproof.ledger.durations import Durations, ms
from ringproof.ledger.keys import Keys
from ringproof.ledger.record import Lane, Record, State, pieces
from ringproof.ledger.scripts import script_text
from ringproof.phone.masking import shorten
from ringproof.policy import Policy

LONGEST_QUEUE: Final = 1000
"""Messages that a lane's queue may hold while numbers are enqueued again: beyond it workers are busy, not deaf."""


class Ledger:
    """The typed functions in front of the scripts. Thread-safe; one per process."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str = "ringproof",
        shown_url: str = "",
        policy: Policy = Policy(),  # noqa: B008  # frozen
        durations: Durations = Durations(),  # noqa: B008  # frozen
        clock: str | None = None,
    ) -> None:
        self.client = client
        self.keys = Keys(prefix)
        self.shown_url = shown_url
        self.policy = policy  # holds where Redis has none: before the first worker, and when it was emptied
        self.durations = durations
        self._clock = SlotClock()
        self._facts = json.dumps(durations.facts() | policy.mapping(), separators=(",", ":"))
        self._lua_clock = clock
        self._scripts: dict[str, Script] = {}

    def script(self, name: str) -> Script:
        """Return a script of `ringproof/ledger/lua`, with the pieces that it needs in front of it."""
        if name not in self._scripts:
            self._scripts[name] = self.client.register_script(script_text(name, self._lua_clock))
        return self._scripts[name]

    def run_script(self, name: str, keys: Sequence[str] = (), args: Sequence[Any] = ()) -> Any:
        """Run a script with what all of them are given, and with keys and arguments of its own."""
        return self._run(self.script(name), [*self.keys.of_every_script, *keys], [self._facts, self.keys.prefix, *args])

    def accept(
        self,
        number: str,
        *,
        token: str,
        requester: Requester = Requester.PERSON,
        lane: Lane = Lane.INTERACTIVE,
        channel: str = "sms",
        alias: str | None = None,
        subaccount: str | None = None,
        country: str | None = None,
        again: bool = False,
        reverify_after_days: int | None = None,
        remember: timedelta | None = None,
    ) -> Acceptance:
        """Take in a new request for `number` (E.164), or say why not. `again`: it repeats a doubtful one, by itself.
        `reverify_after_days`: once verified it is asked about again so much later, 0 for never; None: as all others.

        The same token again, within 15 minutes or what `remember` says, gets the same answer and changes nothing.
        """
        flags = {"again": again, "reverifies": requester is Requester.REVERIFICATION}
        facts = {"subaccount": subaccount, **pieces("alias", alias), **{name: "1" for name, on in flags.items() if on}}
        if reverify_after_days is not None:
            facts["reverify_after"] = str(reverify_after_days)
        disposition, request, until, promoted, limit = self.run_script(
            "number/accept",
            [self.keys.record(number), self.keys.token(token)],
            [
                number,
                COLUMNS[requester],
                int(requester is Requester.RESEND),
                lane,
                ms(self.durations.request(lane)),
                ms(remember or self.durations.token),
                channel,
                country or "",
                *(part for name, value in facts.items() if value for part in (name, value)),
            ],
        )
        return Acceptance(
            Disposition(disposition),
            int(request),
            moment(int(until)) if until else None,
            promoted=bool(promoted),
            limit=limit,
        )

    def follow(
        self, record: Record, *, token: str, requester: Requester, lane: Lane, again: bool = False
    ) -> Acceptance:
        """Take in a request that follows upon what is known of a number: to the same person, in the same way."""
        return self.accept(
            record.phone_number,
            token=token,
            requester=requester,
            lane=lane,
            channel=record.channel,
            alias=record.alias,
            subaccount=record.subaccount,
            country=record.country,
            again=again,
        )

    def begin(
        self,
        requests: Sequence[tuple[str, int]],
        *,
        fence: str | None = None,
        patience: timedelta = timedelta(days=1),
        asleep: Mapping[str, datetime] | None = None,
    ) -> list[Begun]:
        """Reserve a slot and claim, for each (number, request), in their order; say of each what came of it.

        Whoever gets BEGUN, and nobody else, sends for that number: at its slot, and well before its lease ends. LATER
        leaves it queued: nothing is claimed before `at`, and then ask again; that turn is kept if it comes within
        `patience`. Asked again with the same fence it tells the same, or LATER when what it claimed is not to be sent
        at that slot any more. `asleep` are the numbers that get nothing before a time.
        """
        token = fence or secrets.token_hex(8)
        until = asleep or {}
        asked_at = boot_clock()
        now_us, *answers = self.run_script(
            "number/begin",
            [self.keys.record(number) for number, _ in requests],
            [
                token,
                ms(patience),
                *(part for pair in requests for part in (*pair, epoch_ms(until.get(pair[0])))),
            ],
        )
        located = self._clock.locate(asked_at, boot_clock(), int(now_us))
        return [
            Begun(
                Verdict(told),
                timedelta(microseconds=max(0, int(at_us) - int(now_us))),
                located(int(at_us)),
                int(at_us),
                token,
                Record.from_pairs(number, flat),
            )
            for (number, _), (told, at_us, flat) in zip(requests, answers, strict=True)
        ]

    def reserve_slot(self, *, within: timedelta | None = None) -> float:
        """Reserve a slot for a request that is no new code.

        Returns the moment by this process's `boot_clock()`. Raises `Throttled`, and has reserved none, if none comes
        `within` so long.
        """
        slot = self._book([], "sms", "" if within is None else ms(within))
        if slot is None:
            raise Throttled("the pace is taken by others for the next seconds")
        return slot

    def replace_slot(self, record: Record) -> float | None:
        """Reserve another slot for a send whose own has gone by; None, and none, if it is not to be sent any more."""
        return self._book([self.keys.record(record.phone_number)], record.channel, "")

    def _book(self, keys: Sequence[str], channel: str, within: int | str) -> float | None:
        asked_at = boot_clock()
        now_us, slot_us, _ = self.run_script("pace/book_slot", keys, [channel, within, ""])
        return self._clock.locate(asked_at, boot_clock(), int(now_us))(int(slot_us)) if slot_us else None

    def reserve_in_lane(self, lane: Lane, within: timedelta) -> tuple[float, bool]:
        """Reserve a slot as a send of that lane does, so that the lanes keep their shares.

        Returns a moment by this process's `boot_clock()`, and whether it is the slot; else it is when to ask again,
        a turn that is kept for whoever comes `within` so long.
        """
        asked_at = boot_clock()
        now_us, slot_us, turn_us = self.run_script("pace/book_slot", args=["sms", ms(within), lane])
        at = self._clock.locate(asked_at, boot_clock(), int(now_us))
        return at(int(slot_us or turn_us)), bool(slot_us)

    def now(self) -> datetime:
        """Return Redis' time."""
        return moment(int(self.run_script("now")) // 1000)

    def report_answer(self, plivo_signal: PlivoSignal, retry_after: float | None = None) -> None:
        """Tell all others what Plivo answered to a request that was no send."""
        self.run_script("pace/report_answer", args=[plivo_signal, _ms_or_none(retry_after)])

    def probe_is_due(self) -> bool:
        """Whether Plivo is to be asked now if it knows the credentials again; true for one of all who ask."""
        return bool(self.run_script("pace/take_probe"))

    def settle(
        self, number: str, request: int, fence: str, outcome: Outcome, *, ago: timedelta = timedelta()
    ) -> Settled:
        """Tell what became of an attempt, `ago`. Repeat it until it answers: the second time says `already`."""
        return Settled(
            self.run_script(
                "number/settle",
                [self.keys.record(number)],
                [
                    number,
                    request,
                    fence,
                    outcome.state,
                    outcome.reason or "",
                    shorten(outcome.detail),
                    ms(outcome.wait),
                    int(not outcome.counted),
                    outcome.verification_uuid,
                    outcome.api_id,
                    ms(ago),
                    outcome.plivo_signal,
                    _ms_or_none(outcome.retry_after),
                ],
            )
        )

    def work_off_agenda(self, limit: int, queues: Mapping[Lane, str]) -> list[AgendaResult]:
        """Work off at most `limit` entries of the agenda that are due, oldest first; `queues` are Celery's.

        Every transition that time makes is done here. What it cannot do is left to the caller: to send the messages
        of what is to be enqueued, and to look up the doubtful. Whoever dies before that loses nothing: they are due
        again.
        """
        worked = self.run_script("agenda/work_off", [queues[lane] for lane in Lane], [limit, LONGEST_QUEUE])
        return [
            AgendaResult(AgendaAction(what), number, int(request), Lane(lane), channel)
            for what, number, request, lane, channel in worked
        ]

    def repair_agenda(self, records: int) -> int:
        """Look at about so many records, where the last call stopped; put lost ones back on the agenda.

        Returns how many were put back. Nothing of ours loses an entry; a person with `redis-cli` may.
        """
        place = self.keys.repair_cursor
        cursor = int(self._run(self.client.get, place) or 0)
        cursor, keys = self._run(self.client.scan, cursor, match=self.keys.record("*"), count=records)
        self._run(self.client.set, place, cursor)
        numbers = list(map(self.keys.number, keys))
        return int(self.run_script("agenda/repair", keys, numbers)) if keys else 0

    def queue_length(self, queue: str) -> int:
        """Return how many messages wait in a Celery queue of this Redis."""
        return int(self._run(self.client.llen, queue))

    def claim_tick(self, name: str, every: timedelta) -> bool:
        """Take a tick of this name; False if another took one less than `every` ago."""
        return bool(self._run(self.client.set, self.keys.tick(name), 1, nx=True, px=ms(every)))

    def cancel(self, number: str, request: int) -> Settled:
        """Take back a request that was not begun; `stale` means that it was, or is another's."""
        return self.settle(number, request, "", Outcome(State.CANCELLED))

    def read(self, number: str, request: int | None = None) -> Record | None:
        """Return the number's record, or that of an earlier request as it stood when a newer one replaced it.

        None: unknown here, or no longer kept.
        """
        packed: dict[str, str] = self._run(self.client.hgetall, self.keys.record(number))
        if packed and request in {None, int(packed["request"])}:
            return Record.unpack(number, packed)
        flat = self._run(self.client.hget, self.keys.earlier(number), str(request)) if request else None
        return Record.from_pairs(number, json.loads(flat)) if flat else None

    def read_many(self, asked: Sequence[tuple[str, int | None]]) -> list[Record | None]:
        """Do what `read` does for many, in one round trip and two more for each that is not its number's newest."""

        def newest() -> list[dict[str, str]]:
            with self.client.pipeline(transaction=False) as pipeline:
                for number, _ in asked:
                    pipeline.hgetall(self.keys.record(number))
                return pipeline.execute()

        return [
            Record.unpack(number, packed)
            if packed and request in {None, int(packed["request"])}
            else self.read(number, request)
            for (number, request), packed in zip(asked, self._run(newest), strict=True)
        ]

    def publish_policy(self, policy: Policy) -> None:
        """Put the workers' policy where all scripts read it."""
        self._run(self.client.hset, self.keys.policy, mapping=policy.mapping())

    def run(self, command: str, *args: Any, **options: Any) -> Any:
        """Run a command that reads, or that does no harm if it runs twice."""
        return self._run(getattr(self.client, command), *args, **options)

    def run_all(self, *commands: tuple[Any, ...], of_one_moment: bool = False) -> list[Any]:
        """Run several commands that only read, in one round trip."""

        def at_once() -> list[Any]:
            with self.client.pipeline(transaction=of_one_moment) as pipeline:
                for command, *args in commands:
                    getattr(pipeline, command)(*args)
                return pipeline.execute()

        answers: list[Any] = self._run(at_once)
        return answers

    def ping(self) -> None:
        """Raise `LedgerUnavailable` unless Redis answers."""
        self._run(self.client.ping)

    def unavailable(self, error: redis.RedisError) -> LedgerUnavailable:
        """Translate what redis-py raised."""
        return LedgerUnavailable(self.shown_url, cause_of(error))

    def _run(self, command: Script | Any, *args: Any, **options: Any) -> Any:
        """Run a command; once more if a pooled connection had died: by its token or fence it counts once."""
        try:
            try:
                return command(*args, **options)
            except redis.ConnectionError:
                return command(*args, **options)
        except redis.RedisError as error:
            raise self.unavailable(error) from error


def _ms_or_none(seconds: float | None) -> int | str:
    return "" if seconds is None else round(seconds * 1000)
