"""An operator's commands for the sending: pause, resume, other rates for a while, and the status."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from ringproof.clock import moment
from ringproof.errors import InvalidRequest, LedgerUnavailable
from ringproof.ledger.durations import ms
from ringproof.ledger.pauses import ACCOUNT_REFUSALS, FORGOTTEN_AFTER, PAUSE_KINDS
from ringproof.ledger.plivo_credentials import unknown_credentials
from ringproof.ledger.queues import TICKS, queue
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask_value
from ringproof.policy import Policy, Rate, rate_fields

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger

LONGEST_REASON: Final = 200
"""Characters of the reason for a pause: one sentence in `ringproof status`."""

MOST_BLOCKS: Final = 20
"""Blocks of numbers whose caps are lifted at once: each script reads all of them."""

_BLOCK: Final = re.compile(r"\+[1-9]\d{6,8}", re.ASCII)
"""With fewer digits, a block would have millions of numbers. With more, it might be one number, which nothing shows."""


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause, of a lane or of all (None): when it began, why, and when the next probe comes (None: no probe)."""

    lane: Lane | None
    since: datetime
    why: str
    next_look: datetime | None
    kind: str | None = None  # of `PAUSE_KINDS`; None: an operator began it

    @property
    def sends_probes(self) -> bool:
        """Whether its probes are sends, so that a few numbers have to be ready for them."""
        return self.kind is not None and PAUSE_KINDS[self.kind].sends_probes


@dataclass(frozen=True, slots=True)
class RefusedDestination:
    """A country that Plivo refuses (403), since when, and from when on the next number of it may be tried.

    For numbers without a country, such as a satellite's, `name` has their first digits.
    """

    name: str
    since: datetime
    next_try: datetime


@dataclass(frozen=True, slots=True)
class PeopleCodes:
    """How many codes people have asked for, as the cap `limit` counts them: for a country, or for all (None)."""

    limit: str  # as `Capped` names it
    country: str | None
    codes: int
    most: int  # 0: no limit


@dataclass(frozen=True, slots=True)
class Breaker:
    """How many of the last codes of a country people have entered, as its breaker judges them.

    While it is open, `codes` are the probes since then.
    """

    country: str
    codes: int
    entered: int
    open_since: datetime | None
    next_probe: datetime | None  # from when on a number that was not verified before may get a code


@dataclass(frozen=True, slots=True)
class LiftedCaps:
    """A block of numbers, such as `+1415555`, whose people may get codes beyond the caps, and until when."""

    block: str
    until: datetime


@dataclass(frozen=True, slots=True)
class RateOverride:
    """One line of the limits' history: an operator set these rates at `at`, or lifted the caps for these blocks.

    A line without any of them ended all of that.
    """

    at: datetime
    until: datetime
    rate: str | None
    call_rate: str | None
    over_cap: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SendingStatus:
    """The state of the sending: the rates that apply and the usual ones, the pauses, the queues.

    `ringproof status --json` prints it. An example: `rate="300/5s"`, `call_rate="2/1s"`, `share=1.0`,
    `queues={"interactive": 0, "scheduled": 0, "bulk": 12, "ticks": 0}`, `refusals={"codes_per_day": 3}`.
    """

    now: datetime
    rate: str = ""
    call_rate: str = ""
    usual: Mapping[str, str] = field(default_factory=dict)
    limited_until: datetime | None = None  # until when an operator's rates apply
    over_cap: tuple[LiftedCaps, ...] = ()
    next_slot: datetime | None = None
    closed_until: datetime | None = None  # after a 429 no worker sends before this
    share: float = 1.0  # how much of the pace is used: less than 1 for some seconds after several 429s
    pauses: tuple[Pause, ...] = ()
    refused_destinations: tuple[RefusedDestination, ...] = ()
    queues: Mapping[str, int] = field(default_factory=dict)
    open_numbers: int = 0  # on the agenda
    renewals: int = 0  # numbers with a date for their re-verification
    lapsed: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)  # requests that each cap refused
    wrong_codes: Mapping[str, int] = field(default_factory=dict)  # by country in the last hour (60 to 70 minutes)
    breakers: tuple[Breaker, ...] = ()
    people: tuple[PeopleCodes, ...] = ()  # all people's first, and then the countries with the most codes
    unknown_credentials: Mapping[str, datetime] = field(default_factory=dict)  # by digest, since when Plivo answers 401


def pause(ledger: "Ledger", lane: Lane | None = None, reason: str = "") -> bool:
    """Stop all sending, or that of one lane, within a second. Returns False if it was paused before."""
    reason = " ".join(reason.split())[:LONGEST_REASON]
    return bool(ledger.run_script("pace/pause", args=[lane or "all", 1, reason]))


def resume(ledger: "Ledger", lane: Lane | None = None) -> bool:
    """End an operator's pause of a lane, or of all. Returns False if nothing was paused.

    To resume all lanes also has those workers send again whose credentials Plivo did not know. It makes the next probe
    of each other pause due at once, and the next try of each destination that Plivo refuses.
    """
    return bool(ledger.run_script("pace/pause", args=[lane or "all", 0, ""]))


def override_rates(
    ledger: "Ledger", lasts: timedelta, *, rate: Rate | None = None, call_rate: Rate | None = None
) -> datetime:
    """Set other rates for a time; all workers follow them within a second. Returns when they end.

    Plivo still counts what was sent at the old rates. So the first slot of a new rate is one window after their last.
    """
    fields = rate_fields(rate, call_rate)
    line = {name: value for name, value in fields.items() if name in {"rate", "call_rate"}}
    until = ledger.run_script(
        "pace/set_limits",
        [ledger.keys.limits_history],
        [ms(lasts), json.dumps(line), *(part for pair in fields.items() for part in pair)],
    )
    return moment(int(until))


def restore_rates(ledger: "Ledger") -> None:
    """End the operator's rates: the usual ones apply again, and all caps."""
    ledger.run_script("pace/set_limits", [ledger.keys.limits_history], [0, "{}"])


def check_blocks(ledger: "Ledger", blocks: Sequence[str]) -> None:
    """Raise `InvalidRequest` if a block is not written right, or if there would be more than `MOST_BLOCKS`."""
    for block in blocks:
        if not _BLOCK.fullmatch(block):
            remedy = "write how the numbers begin: a + and 7 to 9 digits, such as +1415555"
            raise InvalidRequest("blocks", mask_value(block), remedy)
    lifted = {one.block for one in _lifted(ledger.run("hgetall", ledger.keys.limits), ledger.now())}
    if (count := len(lifted.union(blocks))) > MOST_BLOCKS:
        remedy = f"lift the caps for {MOST_BLOCKS} blocks at most; to end them all: ringproof limits reset"
        raise InvalidRequest("blocks", str(count), remedy)


def lift_caps(ledger: "Ledger", blocks: Sequence[str], lasts: timedelta) -> datetime:
    """Let people get codes beyond the caps on people's codes, for the numbers of some blocks. Returns until when.

    A block is how its numbers begin: a + and 7 to 9 digits, such as `+1415555`. These codes are counted as before. So
    they fill the caps of their country and of all people for other numbers. The caps of a single number, the breaker
    and the pace hold.

    Raises `InvalidRequest` as `check_blocks` does.
    """
    check_blocks(ledger, blocks)
    line = json.dumps({"over_cap": list(dict.fromkeys(blocks))})
    return moment(int(ledger.run_script("pace/set_limits", [ledger.keys.limits_history], [ms(lasts), line])))


def rate_history(ledger: "Ledger") -> list[RateOverride]:
    """Return the last hundred changes of the limits, oldest first."""
    lines = [json.loads(line) for line in ledger.run("lrange", ledger.keys.limits_history, 0, -1)]
    return [
        RateOverride(
            moment(int(line["at_ms"])),
            moment(int(line["until_ms"])),
            line.get("rate"),
            line.get("call_rate"),
            tuple(line.get("over_cap", ())),
        )
        for line in lines
    ]


QUEUES_SHOWN: Final[Mapping[str, str]] = {**{str(lane): queue(lane) for lane in Lane}, "ticks": TICKS}


def sending_status(ledger: "Ledger") -> SendingStatus:
    """Read the rates, the pauses, the refusals and the queues in two round trips."""
    now = ledger.now()
    return status_of(now, ledger.try_all(*status_commands(ledger, now)))


def status_commands(ledger: "Ledger", now: datetime) -> list[tuple[Any, ...]]:
    """Return the commands that read the status, for `Ledger.try_all`."""
    keys = ledger.keys
    return [
        *(("run_script", f"pace/{name}") for name in ("current_share", "breakers", "count_people")),
        *(
            ("hgetall", key)
            for key in (keys.policy, keys.limits, keys.pace, keys.pauses, keys.destinations, keys.refusals)
        ),
        *(("zcard", key) for key in (keys.agenda, keys.renewals, keys.lapsed)),
        *(("llen", name) for name in QUEUES_SHOWN.values()),
        *(("hgetall", keys.wrong_codes(int(now.timestamp()) // 600 - ago)) for ago in range(7)),
    ]


def status_of(now: datetime, answers: Sequence[Any]) -> SendingStatus:
    """Return the status from the answers to `status_commands`. Raises the `LedgerUnavailable` that is one of them."""
    for answer in answers:
        if isinstance(answer, LedgerUnavailable):
            raise answer
    share, breakers, people, policy, limited, pace, pauses, destinations, refusals, *counts = answers
    open_numbers, renewals, lapsed, *others = counts
    lengths, wrong_codes = others[: len(QUEUES_SHOWN)], others[len(QUEUES_SHOWN) :]
    policy = {name: str(value) for name, value in Policy().mapping().items()} | policy
    usual = {name: value for name, value in policy.items() if name.endswith("rate")}
    over_cap = tuple(_lifted(limited, now))
    limited_until = _moment(limited.get("until_ms"))
    if limited_until and limited_until <= now:
        limited, limited_until = {}, None
    return SendingStatus(
        now=now,
        rate=limited.get("rate", usual["rate"]),
        call_rate=limited.get("call_rate", usual["call_rate"]),
        usual=usual,
        limited_until=limited_until,
        over_cap=over_cap,
        next_slot=_moment(pace.get("account"), 1000),
        closed_until=closed_until(pace.get("closed"), now),
        share=float(share),
        pauses=tuple(_not_before(now, one) for one in pauses_of(pauses) if not _is_over(now, one)),
        refused_destinations=tuple(_refused(destinations, now)),
        queues=dict(zip(QUEUES_SHOWN, lengths, strict=True)),
        open_numbers=open_numbers,
        renewals=renewals,
        lapsed=lapsed,
        refusals={name: int(count) for name, count in refusals.items()},
        wrong_codes=_sums(wrong_codes),
        breakers=tuple(_breakers(breakers)),
        people=tuple(_people(people, policy)),
        unknown_credentials=unknown_credentials(pauses),
    )


def _lifted(limits: Mapping[str, str], now: datetime) -> Iterator[LiftedCaps]:
    for name in sorted(limits):
        block, until = name.removeprefix("over_cap:"), _moment(limits[name]) if ":" in name else None
        if until and until > now:
            yield LiftedCaps(block, until)


def _sums(counts: Sequence[Mapping[str, str]]) -> dict[str, int]:
    """Add up counts by name; the largest comes first."""
    sums: Counter[str] = Counter()
    for one in counts:
        sums.update({name: int(count) for name, count in one.items()})
    return dict(sums.most_common())


def _breakers(shown: Sequence[Sequence[Any]]) -> Iterator[Breaker]:
    for country, codes, entered, since, next_probe in sorted(shown, key=itemgetter(0)):
        open_since, probe_at = (moment(since), moment(next_probe)) if since else (None, None)
        yield Breaker(country, codes, entered, open_since, probe_at)


def _people(counted: Sequence[Any], policy: Mapping[str, str]) -> Iterator[PeopleCodes]:
    day, *hour = counted
    for limit, codes in (
        ("people_codes_per_day", {None: day}),
        ("country_codes_per_hour", dict(zip(hour[::2], map(int, hour[1::2]), strict=True))),
    ):
        for country in sorted(codes, key=lambda name: (-codes[name], name)):
            yield PeopleCodes(limit, country, codes[country], int(policy[limit]))


def closed_until(field: str | None, now: datetime) -> datetime | None:
    """Return until when a 429 closes the pace, from a field of its hash; None if none does now."""
    until = _moment(field, 1000)
    return until if until and until > now else None


def _not_before(now: datetime, pause: Pause) -> Pause:
    """Return the pause with a next look that is not in the past: one that is due comes with the next number."""
    return replace(pause, next_look=max(pause.next_look, now)) if pause.next_look else pause


def _is_over(now: datetime, pause: Pause) -> bool:
    ends_by_itself = pause.kind is not None and PAUSE_KINDS[pause.kind].ends_by_itself
    return ends_by_itself and pause.next_look is not None and pause.next_look <= now


def pauses_of(fields: Mapping[str, str]) -> Iterator[Pause]:
    """Yield the pauses that the hash of `{P}:pauses` has."""
    for lane, name in [(None, "person:all"), *((lane, f"person:{lane}") for lane in Lane)]:
        if since := _moment(fields.get(name)):
            yield Pause(lane, since, fields.get(f"{name}:reason") or "a person paused it", None)
    for name, kind in PAUSE_KINDS.items():
        if name in fields and (since := _moment(fields.get(kind.began))):
            refusal = ACCOUNT_REFUSALS.get(fields.get("account_status", "")) if name == "account" else None
            why = refusal or kind.why
            yield Pause(None, since, why, _moment(fields.get(kind.next_probe)), name)


def _refused(fields: Mapping[str, str], now: datetime) -> Iterator[RefusedDestination]:
    """Yield the closed destinations, as `is_closed` of lua/lib/destinations.lua has them."""
    for name in sorted(one.removesuffix(":since") for one in fields if one.endswith(":since")):
        since, next_try = _moment(fields[f"{name}:since"]), _moment(fields[f"{name}:next"])
        if since and next_try and now < next_try + FORGOTTEN_AFTER:
            yield RefusedDestination(name, since, next_try)


def _moment(field: str | None, per_ms: int = 1) -> datetime | None:
    """Return a field of a script's hash as a time: `per_ms` is 1 for ms, and 1000 for µs."""
    return moment(int(float(field)) // per_ms) if field else None
