"""An operator's commands for the sending: pause, resume, other rates for a while, and the status."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final

from ringproof.clock import moment
from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pauses import ACCOUNT_REFUSALS, FORGOTTEN_AFTER, PAUSE_KINDS
from ringproof.ledger.queues import TICKS, queue
from ringproof.ledger.record import Lane
from ringproof.policy import Policy, Rate, rate_fields

LONGEST_REASON: Final = 200
"""Characters of the reason for a pause: one sentence in `ringproof status`."""


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
class RateOverride:
    """One line of the rates' history: an operator set these rates at `at`.

    A line without rates brought the usual ones back.
    """

    at: datetime
    until: datetime
    rate: str | None
    call_rate: str | None


@dataclass(frozen=True, slots=True)
class SendingStatus:
    """The state of the sending: the rates that apply and the usual ones, the pauses, the queues.

    `ringproof status --json` prints it. An example: `rate="300/5s"`, `call_rate="2/1s"`, `share=1.0`,
    `queues={"interactive": 0, "scheduled": 0, "bulk": 12, "ticks": 0}`, `refusals={"codes_per_day": 3}`.
    """

    now: datetime
    rate: str
    call_rate: str
    usual: Mapping[str, str]
    limited_until: datetime | None  # until when an operator's rates apply
    next_slot: datetime | None
    closed_until: datetime | None  # after a 429 no worker sends before this
    share: float  # how much of the pace is used: less than 1 for some seconds after several 429s
    pauses: tuple[Pause, ...]
    refused_destinations: tuple[RefusedDestination, ...]
    queues: Mapping[str, int]
    open_numbers: int  # on the agenda
    renewals: int  # numbers with a date for their re-verification
    lapsed: int
    refusals: Mapping[str, int]  # requests that each cap refused
    wrong_codes: Mapping[str, int]  # wrong codes by country in the last hour (60 to 70 minutes)
    breakers: tuple[Breaker, ...]
    people: tuple[PeopleCodes, ...]  # all people's first, and then the countries with the most codes


def pause(ledger: Ledger, lane: Lane | None = None, reason: str = "") -> bool:
    """Stop all sending, or that of one lane, within a second. Returns False if it was paused before."""
    reason = " ".join(reason.split())[:LONGEST_REASON]
    return bool(ledger.run_script("pace/pause", args=[lane or "all", 1, reason]))


def resume(ledger: Ledger, lane: Lane | None = None) -> bool:
    """End an operator's pause of a lane, or of all. Returns False if nothing was paused.

    To resume all lanes also ends a pause for unknown credentials. It makes the next probe of each other pause due at
    once, and the next try of each destination that Plivo refuses.
    """
    return bool(ledger.run_script("pace/pause", args=[lane or "all", 0, ""]))


def override_rates(
    ledger: Ledger, lasts: timedelta, *, rate: Rate | None = None, call_rate: Rate | None = None
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


def restore_rates(ledger: Ledger) -> None:
    """End the operator's rates: the usual ones apply again."""
    ledger.run_script("pace/set_limits", [ledger.keys.limits_history], [0, "{}"])


def rate_history(ledger: Ledger) -> list[RateOverride]:
    """Return the last hundred changes of the rates, oldest first."""
    lines = [json.loads(line) for line in ledger.run("lrange", ledger.keys.limits_history, 0, -1)]
    return [
        RateOverride(moment(int(line["at_ms"])), moment(int(line["until_ms"])), line.get("rate"), line.get("call_rate"))
        for line in lines
    ]


def sending_status(ledger: Ledger) -> SendingStatus:
    """Read the rates, the pauses, the refusals and the queues in one round trip."""
    queues = {**{str(lane): queue(lane) for lane in Lane}, "ticks": TICKS}
    now, keys = ledger.now(), ledger.keys
    policy, limited, pace, pauses, destinations, refusals, open_numbers, renewals, lapsed, *others = ledger.run_all(
        *(
            ("hgetall", key)
            for key in (keys.policy, keys.limits, keys.pace, keys.pauses, keys.destinations, keys.refusals)
        ),
        *(("zcard", key) for key in (keys.agenda, keys.renewals)),
        ("zcard", keys.lapsed),
        *(("llen", name) for name in queues.values()),
        *(("hgetall", keys.wrong_codes(int(now.timestamp()) // 600 - ago)) for ago in range(7)),
    )
    lengths, wrong_codes = others[: len(queues)], others[len(queues) :]
    policy = {name: str(value) for name, value in Policy().mapping().items()} | policy
    usual = {name: value for name, value in policy.items() if name.endswith("rate")}
    limited_until = _moment(limited.get("until_ms"))
    if limited_until and limited_until <= now:
        limited, limited_until = {}, None
    closed_until = _moment(pace.get("closed"), 1000)
    return SendingStatus(
        now=now,
        rate=limited.get("rate", usual["rate"]),
        call_rate=limited.get("call_rate", usual["call_rate"]),
        usual=usual,
        limited_until=limited_until,
        next_slot=_moment(pace.get("account"), 1000),
        closed_until=closed_until if closed_until and closed_until > now else None,
        share=float(ledger.run_script("pace/current_share")),
        pauses=tuple(_pauses(pauses)),
        refused_destinations=tuple(_refused(destinations, now)),
        queues=dict(zip(queues, lengths, strict=True)),
        open_numbers=open_numbers,
        renewals=renewals,
        lapsed=lapsed,
        refusals={name: int(count) for name, count in refusals.items()},
        wrong_codes=_sums(wrong_codes),
        breakers=tuple(_breakers(ledger.run_script("pace/breakers"))),
        people=tuple(_people(ledger.run_script("pace/count_people"), policy)),
    )


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


def _pauses(fields: Mapping[str, str]) -> Iterator[Pause]:
    for lane, field in [(None, "person:all"), *((lane, f"person:{lane}") for lane in Lane)]:
        if since := _moment(fields.get(field)):
            yield Pause(lane, since, fields.get(f"{field}:reason") or "a person paused it", None)
    for field, kind in PAUSE_KINDS.items():
        if field in fields and (since := _moment(fields.get(kind.began))):
            refusal = ACCOUNT_REFUSALS.get(fields.get("account_status", "")) if field == "account" else None
            why = refusal or kind.why
            yield Pause(None, since, why, _moment(fields.get(kind.next_probe)), field)


def _refused(fields: Mapping[str, str], now: datetime) -> Iterator[RefusedDestination]:
    """Yield the closed destinations, as `is_closed` of lua/lib/destinations.lua has them."""
    for name in sorted(field.removesuffix(":since") for field in fields if field.endswith(":since")):
        since, next_try = _moment(fields[f"{name}:since"]), _moment(fields[f"{name}:next"])
        if since and next_try and now < next_try + FORGOTTEN_AFTER:
            yield RefusedDestination(name, since, next_try)


def _moment(field: str | None, per_ms: int = 1) -> datetime | None:
    """Return a field of a script's hash as a time: `per_ms` is 1 for ms, and 1000 for µs."""
    return moment(int(float(field)) // per_ms) if field else None
