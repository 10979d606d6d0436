"""What an operator does to the pace and sees of it: pause, resume, other limits for a while, where it all stands."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import TICKS, queue
from ringproof.ledger.record import Lane, moment
from ringproof.policy import Policy, Rate, limits

LONGEST_REASON: Final = 200
"""Characters of the reason that is given for a pause: a sentence, for whoever asks `ringproof status`."""

KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "credentials": ("Plivo does not know the credentials (401)", "credentials_probe"),
    "account": ("Plivo refuses the account: for want of credit or permission (402, 403)", "account_until"),
    "suspect": ("Plivo refused one number (402, 403): another one tells whether it is the account", "suspect_until"),
    "doubts": ("five sends in a row without an answer that says what became of them", "doubts_until"),
}
"""What Plivo's answers pause, as lua/lib/pauses.lua names it: why, and the field with the time of the next probe."""


@dataclass(frozen=True, slots=True)
class Pause:
    """What keeps a lane, or all (None), from being sent to: since when, why, and when it is looked at again."""

    lane: Lane | None
    since: datetime
    why: str
    next_look: datetime | None


@dataclass(frozen=True, slots=True)
class Limit:
    """One line of the limits' history: what was set, when, and until when; without rates the usual ones came back."""

    at: datetime
    until: datetime
    rate: str | None
    call_rate: str | None


@dataclass(frozen=True, slots=True)
class SendingStatus:
    """Where the pace stands: the rates that hold and what they are usually, what holds them back, what waits."""

    now: datetime
    rate: str
    call_rate: str
    usual: Mapping[str, str]
    limited_until: datetime | None
    next_slot: datetime | None
    closed_until: datetime | None
    share: float
    pauses: tuple[Pause, ...]
    queues: Mapping[str, int]
    open_numbers: int
    renewals: int
    lapsed: int
    refusals: Mapping[str, int]


def pause(ledger: Ledger, lane: Lane | None = None, reason: str = "") -> bool:
    """Keep all lanes, or one, from being sent to, within a second; False if it was paused before."""
    told = " ".join(reason.split())[:LONGEST_REASON]
    return bool(ledger.run_script("pace/pause", args=[lane or "all", 1, told]))


def resume(ledger: Ledger, lane: Lane | None = None) -> bool:
    """Let a lane go on, or all, and then ask Plivo at once about what it had refused; False if nothing was paused."""
    return bool(ledger.run_script("pace/pause", args=[lane or "all", 0, ""]))


def limit(ledger: Ledger, lasts: timedelta, *, rate: Rate | None = None, call_rate: Rate | None = None) -> datetime:
    """Have other limits hold everywhere, within a second, for as long as told; return until when.

    What was sent under the pace before is in Plivo's window still, so that the first one is spent.
    """
    told = limits(rate, call_rate)
    line = {name: value for name, value in told.items() if name in {"rate", "call_rate"}}
    fields = [part for pair in told.items() for part in pair]
    until = ledger.run_script("pace/set_limits", [ledger.keys.limits_history], [ms(lasts), json.dumps(line), *fields])
    return moment(int(until))


def unlimit(ledger: Ledger) -> None:
    """Put the usual limits back."""
    ledger.run_script("pace/set_limits", [ledger.keys.limits_history], [0, "{}"])


def history(ledger: Ledger) -> list[Limit]:
    """Return the last hundred changes of the limits, oldest first."""
    lines = [json.loads(line) for line in ledger.run("lrange", ledger.keys.limits_history, 0, -1)]
    return [
        Limit(moment(int(line["at_ms"])), moment(int(line["until_ms"])), line.get("rate"), line.get("call_rate"))
        for line in lines
    ]


def sending_status(ledger: Ledger) -> SendingStatus:
    """Read the limits, the pauses, the refusals and the queues in one go."""
    queues = {**{str(lane): queue(lane) for lane in Lane}, "ticks": TICKS}
    now, keys = ledger.now(), ledger.keys
    policy, limited, pace, pauses, refusals, open_numbers, renewals, lapsed, *waiting = ledger.run_all(
        *(("hgetall", key) for key in (keys.policy, keys.limits, keys.pace, keys.pauses, keys.refusals)),
        *(("zcard", key) for key in (keys.agenda, keys.renewals)),
        ("scard", keys.lapsed),
        *(("llen", name) for name in queues.values()),
    )
    usual = {name: str(value) for name, value in (Policy().mapping() | policy).items() if name.endswith("rate")}
    limited_until = _moment(limited.get("until_ms"))
    if limited_until and limited_until <= now:
        limited, limited_until = {}, None
    return SendingStatus(
        now=now,
        rate=limited.get("rate", usual["rate"]),
        call_rate=limited.get("call_rate", usual["call_rate"]),
        usual=usual,
        limited_until=limited_until,
        next_slot=_moment(pace.get("account"), 1000),
        closed_until=_after(now, _moment(pace.get("closed"), 1000)),
        share=float(ledger.run_script("pace/current_share")),
        pauses=tuple(_pauses(pauses)),
        queues=dict(zip(queues, waiting, strict=True)),
        open_numbers=open_numbers,
        renewals=renewals,
        lapsed=lapsed,
        refusals={name: int(count) for name, count in refusals.items()},
    )


def _pauses(told: Mapping[str, str]) -> list[Pause]:
    found = [
        Pause(lane, since, told.get(f"{field}:reason") or "a person paused it", None)
        for lane, field in [(None, "person:all"), *((lane, f"person:{lane}") for lane in Lane)]
        if (since := _moment(told.get(field)))
    ]
    for kind, (why, look) in KINDS.items():
        since = _moment(told.get("suspect_slot" if kind == "suspect" else kind)) if kind in told else None
        if since:
            found.append(Pause(None, since, why, _moment(told.get(look))))
    return found


def _moment(told: Any, of_a_ms: int = 1) -> datetime | None:
    return moment(int(float(told)) // of_a_ms) if told else None


def _after(now: datetime, when: datetime | None) -> datetime | None:
    return when if when and when > now else None
