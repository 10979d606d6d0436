"""The forecast of an import, as a person reads it."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from rich.table import Table
from rich.text import Text

from ringproof.batches.forecast import Forecast, Tally
from ringproof.ledger.acceptance import Disposition
from worker.views.text import lasting

_GETS_NOTHING: Final[Mapping[Disposition, str]] = {
    Disposition.VERIFIED: "verified already",
    Disposition.LIVE: "with a code that may live",
    Disposition.JOINED: "asked for already",
    Disposition.COUNTRY: "of a country that RINGPROOF_COUNTRIES leaves out",
}


def forecast_view(tally: Tally, found: Forecast) -> Table:
    """Tell it in lines."""
    about = "" if found.exact else "about "
    told = {
        "rows": f"{tally.rows:,}",
        "rejected": f"{tally.reasons.total():,}: {counted(tally.reasons)}" if tally.reasons else "",
        "again": f"{about}{_many(found.again, 'row')} of a number that another row has, too" if found.again else "",
        "no code": ", ".join(
            f"{about}{count:,} {_GETS_NOTHING.get(why, why)}" for why, count in found.idle.items() if count
        ),
        "to send": f"{about}{_codes(found)}",
        "asleep": f"{about}{found.asleep:,} of them have quiet hours now ({found.quiet_hours}), and wait for their day"
        if found.asleep
        else "",
        "takes": _takes(found),
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in told.items():
        if text:
            table.add_row(name, Text(text))
    return table


def _codes(found: Forecast) -> str:
    """Say how many texts and calls."""
    parts = [(found.texts, "text"), (found.calls, "call")]
    return " and ".join(_many(count, word) for count, word in parts if count) or "nothing"


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _takes(found: Forecast) -> str:
    if found.situation is None or found.lasts is None:
        return ""
    calls = f", calls {found.situation.call_rate}" if found.calls else ""
    paused = "; sending is paused now (ringproof status says why)" if found.situation.pauses else ""
    return (
        f"{lasting(found.lasts)} at the present pace of {found.situation.rate}{calls}, if nothing else is sent{paused}"
    )


def counted(reasons: Counter[str]) -> str:
    """Return the reasons and how often each was one, the most frequent first."""
    return ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
