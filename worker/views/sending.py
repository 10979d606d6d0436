"""The sending as a whole: the pauses, the pace and what slows it down, and the queues."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Final

from rich.table import Table
from rich.text import Text

from ringproof.events.delivery_status import Delivery
from ringproof.events.outbox import READERS
from ringproof.ledger.control import Pause, PeopleCodes, RefusedDestination, SendingStatus
from ringproof.policy import Rate
from worker.views.console import fact_table, lines
from worker.views.deliveries import delivery_lines
from worker.views.text import clock, json_line

MOST_COUNTRIES: Final = 5
"""The countries whose codes are shown: the line is for a terminal, and `--json` has them all."""


def sending_view(status: SendingStatus, deliveries: Sequence[Delivery] = ()) -> Table:
    """Return the status of the sending, and of the deliveries of events, for a person.

    sending  goes on
    pace     300/5s, which is 59.3 a second; calls 2/1s
    open     1,204 numbers are not final
    queues   interactive 0, scheduled 0, bulk 118, ticks 0
    """
    paused = lines(map(_pause_line, status.pauses), "yellow")
    return fact_table(
        {
            "sending": paused if status.pauses else Text("goes on", "green"),
            "countries": lines([*_refused_lines(status), *_breaker_lines(status)], "yellow"),
            "pace": lines(_pace_lines(status)),
            "open": f"{status.open_numbers:,} numbers are not final",
            "verified": lines(_reverification_lines(status)),
            "queues": ", ".join(f"{name} {length:,}" for name, length in status.queues.items()),
            "people": lines(_people_lines(status)),
            "refused": ", ".join(f"{limit} {count:,}" for limit, count in status.refusals.items()),
            "wrong codes": _wrong_codes_line(status),
            "events": lines(delivery_lines(one for one in deliveries if one.consumer != READERS)),
        }
    )


def sending_json(status: SendingStatus, deliveries: Sequence[Delivery] = ()) -> str:
    """Return the status of the sending, and of the deliveries of events, as a line of JSON."""
    return json_line({**asdict(status), "deliveries": [asdict(one) for one in deliveries]})


def names_of(refused: Iterable[RefusedDestination]) -> str:
    """Return the names of refused countries: `BR, IN`."""
    return ", ".join(one.name for one in refused)


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


def _pause_line(pause: Pause) -> str:
    lane = f"{pause.lane} is " if pause.lane else ""
    end = f"the next try is at {clock(pause.next_look)}" if pause.next_look else "until ringproof resume"
    return f"{lane}paused since {clock(pause.since)}: {pause.why}; {end}"


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
