"""The forecast of an import, as a person reads it."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from rich.table import Table

from ringproof.batches.forecast import Forecast, Tally
from ringproof.ledger.acceptance import Disposition
from ringproof.phone.caller_id import ALIAS_LENGTH
from worker.views.console import fact_table
from worker.views.text import counted, duration_text

_WHY_NO_CODE: Final[Mapping[Disposition, str]] = {
    Disposition.VERIFIED: "verified already",
    Disposition.LIVE: "with a code that may be live",
    Disposition.JOINED: "requested already",
    Disposition.CAPPED: "with as many codes or calls as they may have",
    Disposition.COUNTRY: "of a country that RINGPROOF_COUNTRIES leaves out",
}


def forecast_view(tally: Tally, forecast: Forecast) -> Table:
    """Return what an import would do, for a person.

    rows        200
    rejected    20: no_country 12, invalid 8
    aliases     2 cleaned: no line breaks or control characters, 255 characters at most
    duplicates  6 rows
    no code     3 verified already, 1 requested already
    to send     161 texts and 9 calls
    takes       9 s at the present pace of 300/5s, calls 2/1s, if nothing else is sent
    """
    about = "" if forecast.is_exact else "about "
    skipped = [(count, _WHY_NO_CODE.get(why, why)) for why, count in forecast.skipped.items() if count]
    codes = [(forecast.texts, "text"), (forecast.calls, "call")]
    to_send = " and ".join(counted(count, noun) for count, noun in codes if count) or "nothing"
    asleep = f"{about}{forecast.in_quiet_hours:,} of them wait until their quiet hours ({forecast.quiet_hours}) end"
    return fact_table(
        {
            "rows": f"{tally.rows:,}",
            "rejected": f"{tally.reasons.total():,}: {reasons_text(tally.reasons)}" if tally.reasons else "",
            "aliases": _cleaned_text(tally.cleaned_aliases),
            "lost +": lost_plus_text(tally.lost_plus) if tally.lost_plus else "",
            "duplicates": f"{about}{counted(forecast.duplicates, 'row')}" if forecast.duplicates else "",
            "no code": ", ".join(f"{about}{count:,} {why}" for count, why in skipped),
            "to send": f"{about}{to_send}",
            "quiet hours": asleep if forecast.in_quiet_hours else "",
            "takes": _duration_text(forecast),
        }
    )


def lost_plus_text(rows: int) -> str:
    """Return what to do about a column of numbers whose `+` was lost."""
    these = (
        "this one looks like an international number"
        if rows == 1
        else f"these {rows:,} look like international numbers"
    )
    return f"{these} whose + was lost: --plus"


def reasons_text(reasons: Counter[str]) -> str:
    """Return reasons with their counts, the most frequent first: `no_country 12, invalid 8`."""
    return ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())


def _cleaned_text(count: int) -> str:
    return (
        f"{count:,} cleaned: no line breaks or control characters, {ALIAS_LENGTH} characters at most" if count else ""
    )


def _duration_text(forecast: Forecast) -> str:
    status, duration = forecast.status, forecast.duration
    if status is None or duration is None:
        return ""
    calls = f", calls {status.call_rate}" if forecast.calls else ""
    paused = "; sending is paused now (ringproof status says why)" if status.pauses else ""
    return f"{duration_text(duration)} at the present pace of {status.rate}{calls}, if nothing else is sent{paused}"
