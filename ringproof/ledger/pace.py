"""Slots for requests to Plivo that are no new codes, and what Plivo's answers to them mean for all workers.

Sending a code reserves its slot by `Ledger.begin`. These functions are for look-ups, list pages, probes and
confirmations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Final

from ringproof.clock import boot_clock
from ringproof.errors import LeaseOver
from ringproof.ledger.answers import PlivoSignal
from ringproof.ledger.durations import ms, optional_ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane, Record

REPLACED_WITHIN: Final = timedelta(seconds=10)
"""Half of the time that a send has for its first byte. A slot for a call may be a minute away."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot: its moment by this process's `boot_clock()`, and by the clock of Redis (µs since 1970)."""

    at: float
    at_us: int


def reserve_slot(ledger: Ledger, *, within: timedelta | None = None) -> float:
    """Reserve the next free slot and return its moment by this process's `boot_clock()`.

    Raises `LeaseOver`, and reserves none, if no slot comes `within` that time.
    """
    slot, is_slot = _reserve(ledger, "" if within is None else ms(within), "")
    if not is_slot:
        raise LeaseOver("the pace is taken by others for the next seconds")
    return slot


def replace_slots(ledger: Ledger, late: Sequence[tuple[Record, int]], lead: float = 0.0) -> list[Slot | None]:
    """Reserve other slots for sends that have missed theirs, each (record, µs of its slot).

    `lead` is that of `Ledger.begin`. A slot comes at once if that delays the others by less than a new slot does. None,
    and none is reserved, for a number that must not be sent to any more: it is paused, cancelled or erased. The same if
    the next slot is more than `REPLACED_WITHIN` away: others may have it, and the number begins again.
    """
    keys = [ledger.keys.record(record.phone_number) for record, _ in late]
    of_each = chain.from_iterable((record.channel, missed_us) for record, missed_us in late)
    reach_us = ledger.reach_us()
    asked_at = boot_clock()
    now_us, *slots = ledger.run_script(
        "pace/replace_slots", keys, [ms(REPLACED_WITHIN), reach_us, round(lead * 1_000_000), *of_each]
    )
    local = ledger.slot_clock.locate(asked_at, boot_clock(), int(now_us))
    return [Slot(local(int(slot_us)), int(slot_us)) if slot_us else None for slot_us in slots]


def reserve_in_lane(ledger: Ledger, lane: Lane, within: timedelta) -> tuple[float, bool]:
    """Reserve a slot out of the lane's share of the pace.

    Returns a moment by this process's `boot_clock()`, and whether it is the slot. If not, it is the turn at which to
    ask again; the turn is kept for a caller that asks again `within` that time.
    """
    return _reserve(ledger, ms(within), lane)


def report_answer(
    ledger: Ledger, signal: PlivoSignal, retry_after: float | None = None, *, ago: timedelta = timedelta()
) -> None:
    """Report Plivo's answer to a request that was no send: it may start or end a pause for all workers.

    `retry_after` is the seconds that Plivo asked for. `ago` is the time since the request's slot: a request that began
    before a pause does not end it.
    """
    ledger.run_script("pace/report_answer", args=[signal, optional_ms(retry_after), ms(ago)])


def _reserve(ledger: Ledger, within: int | str, lane: str) -> tuple[float, bool]:
    reach_us = ledger.reach_us()
    asked_at = boot_clock()
    now_us, slot_us, turn_us = ledger.run_script("pace/reserve_slot", args=[within, lane, reach_us])
    local = ledger.slot_clock.locate(asked_at, boot_clock(), int(now_us))
    return local(int(slot_us or turn_us)), bool(slot_us)
