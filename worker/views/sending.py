"""The sending as a whole: whether it goes on and what is wrong, the pace and what slows it down, and the lanes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rich.table import Table

from ringproof.events.delivery_status import Delivery
from ringproof.events.outbox import READERS
from ringproof.ledger.control import PeopleCodes, RefusedDestination, SendingStatus
from ringproof.policy import Rate
from worker.observe.accounts import NO_ACCOUNTS, Fleet
from worker.observe.facts import Facts
from worker.observe.finding import Finding
from worker.views.console import fact_table, lines
from worker.views.deliveries import delivery_lines
from worker.views.movement import (
    finding_lines,
    lane_lines,
    open_lines,
    tick_lines,
    used_lines,
    verdict,
    worker_lines,
)
from worker.views.text import clock

if TYPE_CHECKING:
    from ringproof.batches.model import Batch

MOST_COUNTRIES: Final = 5
"""The countries whose codes are shown: the line is for a terminal, and `--json` has them all."""


def sending_view(
    facts: Facts,
    found: Sequence[Finding],
    deliveries: Sequence[Delivery] = (),
    fleet: Fleet = NO_ACCOUNTS,
    priced: Sequence["Batch"] = (),
) -> Table:
    """Return how the sending goes, what is wrong with it, and how the deliveries of events go, for a person.

    sending  goes on: 3,512 codes in the last minute
    pace     300/5s, which is 59.3 a second; calls 2/1s
             98 % is used: bulk 97.1 %, interactive 0.6 %, questions 0.3 %
    bulk     3,490 codes in the last minute; 118 messages wait, the oldest number for 3 s
    open     1,204 numbers are not final
    """
    status = facts.sending
    return fact_table(
        {
            "sending": verdict(facts, found),
            "wrong": finding_lines(found),
            "countries": lines([*_refused_lines(status), *_breaker_lines(status)], "yellow"),
            "pace": lines([*_pace_lines(status), *used_lines(facts)]),
            "lanes": lines(lane_lines(facts)),
            "open": lines(open_lines(facts)),
            "costs": lines(_cost_lines(priced)),
            "accounts": lines(account_lines(fleet)),
            "ticks": lines(tick_lines(facts)),
            "workers": lines(worker_lines(facts)),
            "verified": lines(_reverification_lines(status)),
            "caps": lines(over_cap_lines(status), "yellow"),
            "people": lines(_people_lines(status)),
            "refused": ", ".join(f"{limit} {count:,}" for limit, count in status.refusals.items()),
            "wrong codes": _wrong_codes_line(status),
            "events": lines(delivery_lines(one for one in deliveries if one.consumer != READERS)),
        }
    )


def account_lines(fleet: Fleet) -> Iterator[str]:
    """Yield how many accounts there are beside the default one, and what all of them have to do."""
    if not fleet.accounts:
        return
    at_work = sum(one.is_at_work for one in fleet.accounts)
    in_trouble = sum(bool(one.found) for one in fleet.accounts)
    trouble = f", {in_trouble:,} with trouble" if in_trouble else ""
    yield f"{len(fleet.accounts):,} beside this one: {at_work:,} at work{trouble}; to list them: ringproof accounts ls"
    if at_work:
        doubts = sum(one.in_doubt for one in fleet.accounts)
        doubtful = f", {doubts:,} of them in doubt" if doubts else ""
        yield f"{sum(one.open_numbers for one in fleet.accounts):,} of their numbers are not final{doubtful}"


def names_of(refused: Iterable[RefusedDestination]) -> str:
    """Return the names of refused countries: `BR, IN`."""
    return ", ".join(one.name for one in refused)


def over_cap_lines(status: SendingStatus) -> Iterator[str]:
    """Yield the blocks of numbers whose caps an operator has lifted, a line each."""
    for one in status.over_cap:
        yield f"lifted for {one.block} until {clock(one.until)}; to end that: ringproof limits reset"


def _refused_lines(status: SendingStatus) -> Iterator[str]:
    for one in status.refused_destinations:
        next_try = f"not before {clock(one.next_try)}" if one.next_try > status.now else "as soon as there is one"
        yield f"Plivo refuses {one.name} since {clock(one.since)} (403); another number of it is tried {next_try}"
    if status.refused_destinations:
        yield "to send there: enable it in Plivo's console (Geo Permissions), then ringproof resume"


def _breaker_lines(status: SendingStatus) -> Iterator[str]:
    for one in status.breakers:
        if one.open_since and one.next_probe:
            next_probe = f"not before {clock(one.next_probe)}" if one.next_probe > status.now else "now"
            yield (
                f"hardly any person enters a code to {one.country}: since {clock(one.open_since)} only numbers "
                f"that were verified before get one; another number may get one {next_probe}"
            )


def _people_lines(status: SendingStatus) -> Iterator[str]:
    everyone, *countries = status.people
    if everyone.codes:
        yield f"{_of_most(everyone)} codes in the last 24 hours"
    if countries:
        yield f"in the last hour {_some([f'{one.country} {_of_most(one)}' for one in countries])}"
    judged = sorted((one for one in status.breakers if one.codes), key=lambda one: -one.codes)
    if judged:
        yield f"entered {_some([f'{one.country} {one.entered:,} of the last {one.codes:,}' for one in judged])}"


def _some(countries: Sequence[str]) -> str:
    others = len(countries) - MOST_COUNTRIES
    return ", ".join(countries[:MOST_COUNTRIES]) + (f" and {others} other countries" if others > 0 else "")


def _of_most(people: PeopleCodes) -> str:
    return f"{people.codes:,} of {people.most:,}" if people.most else f"{people.codes:,}"


def _cost_lines(priced: Sequence["Batch"]) -> Iterator[str]:
    if priced:
        from worker.views.batch import cost_text  # noqa: PLC0415  # most installations have no prices

        yield from (f"{one.name} {one.state}: {cost_text(one)}" for one in priced)


def _reverification_lines(status: SendingStatus) -> Iterator[str]:
    if status.renewals:
        yield f"{status.renewals:,} numbers will be verified again, each at its own time"
    if status.lapsed:
        yield f"{status.lapsed:,} did not answer two re-verifications: ringproof reverify --lapsed --dry-run"


def _wrong_codes_line(status: SendingStatus) -> str:
    counts = ", ".join(f"{country} {count:,}" for country, count in status.wrong_codes.items())
    return f"in the last hour: {counts}" if counts else ""


def _pace_lines(status: SendingStatus) -> Iterator[str]:
    rate = Rate.parse(status.rate)
    per_second = 1_000_000 / rate.spacing_us * status.share
    digits = 0 if per_second >= 100 else 1
    yield f"{status.rate}, which is {per_second:,.{digits}f} a second; calls {status.call_rate}"
    if status.limited_until:
        usual = f"{status.usual['rate']}, calls {status.usual['call_rate']}"
        yield f"an operator set these rates until {clock(status.limited_until)}; usually {usual}"
    if status.closed_until:
        yield f"closed until {clock(status.closed_until)}: Plivo answered 429"
    elif status.share < 1:
        yield f"at {status.share:.0%}, because Plivo answered 429 several times; it climbs back within seconds"
    ahead = (status.next_slot - status.now).total_seconds() if status.next_slot else 0
    if ahead > 1:
        yield f"the next slot comes in {ahead:.1f} s: all slots before it are taken"
