"""Where sending stands, as a person reads it: what pauses it, the pace and what holds it back, what waits."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from ringproof.clock import iso
from ringproof.ledger.control import Pause, SendingStatus
from ringproof.policy import Rate
from worker.views.text import clock


def sending_view(found: SendingStatus) -> Table:
    """Tell it in lines."""
    paused = Text("\n".join(map(_paused, found.pauses)), "yellow")
    told = {
        "sending": paused if found.pauses else Text("goes on", "green"),
        "pace": Text("\n".join(_pace(found))),
        "open": Text(f"{found.open_numbers:,} numbers are not at their end"),
        "verified": Text("\n".join(_renewals(found))),
        "queues": Text(", ".join(f"{name} {length:,}" for name, length in found.queues.items())),
        "refused": Text(", ".join(f"{limit} {count:,}" for limit, count in found.refusals.items())),
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in told.items():
        if text.plain:
            table.add_row(name, text)
    return table


def as_json(found: SendingStatus) -> str:
    """Return the same as a line of JSON."""
    return json.dumps(asdict(found), default=iso)


def _paused(pause: Pause) -> str:
    lane = f"{pause.lane} is " if pause.lane else ""
    end = f"it is looked at again at {clock(pause.next_look)}" if pause.next_look else "until ringproof resume"
    return f"{lane}paused since {clock(pause.since)}: {pause.why}; {end}"


def _renewals(found: SendingStatus) -> Iterator[str]:
    if found.renewals:
        yield f"{found.renewals:,} numbers are to be verified again, each at its time"
    if found.lapsed:
        yield f"{found.lapsed:,} did not answer twice when they were: ringproof reverify --lapsed --dry-run"


def _pace(found: SendingStatus) -> Iterator[str]:
    rate = Rate.parse(found.rate)
    a_second = 1_000_000 / rate.spacing_us * found.share
    yield f"{found.rate}, which is {a_second:,.{0 if a_second >= 100 else 1}f} a second; calls {found.call_rate}"
    if found.limited_until:
        usually = f"{found.usual['rate']}, calls {found.usual['call_rate']}"
        yield f"that was set until {clock(found.limited_until)}; usually {usually}"
    if found.closed_until:
        yield f"closed until {clock(found.closed_until)}: Plivo said 429"
    elif found.share < 1:
        yield f"at {found.share:.0%}, after several 429 of Plivo's; it climbs back within seconds"
    ahead = (found.next_slot - found.now).total_seconds() if found.next_slot else 0
    if ahead > 1:
        yield f"the next slot comes in {ahead:.1f} s: the ones before are taken"
