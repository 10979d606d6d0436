"""The forecast of an import, as a person reads it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from rich.table import Table

from ringproof.batches.forecast import Forecast, Tally
from ringproof.ledger.acceptance import Disposition
from ringproof.phone.caller_id import ALIAS_LENGTH
from ringproof.phone.masking import mask_value
from ringproof.rosters.roster import Roster
from worker.views.console import fact_table
from worker.views.text import counted, duration_text

_WHY_NO_CODE: Final[Mapping[Disposition, str]] = {
    Disposition.VERIFIED: "verified already",
    Disposition.LIVE: "with a code that may be live",
    Disposition.JOINED: "requested already",
    Disposition.CAPPED: "with as many codes or calls as they may have",
    Disposition.COUNTRY: "of a country that RINGPROOF_COUNTRIES leaves out",
}


def forecast_view(tally: Tally, forecast: Forecast, rosters: Sequence[Roster]) -> Table:
    """Return what an import would do, for a person.

    numbers     column 'Phone', header in line 2
    rows        205
    no number   5 rows
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
            "numbers": _numbers_text(rosters),
            "rows": f"{tally.rows:,}",
            "no number": counted(tally.reasons["empty"], "row") if tally.reasons["empty"] else "",
            "rejected": f"{tally.rejected:,}: {reasons_text(tally.reasons)}" if tally.rejected else "",
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
    """Return reasons with their counts, the most frequent first: `no_country 12, invalid 8`.

    Rows without a number are left out: they are no errors, and are counted apart.
    """
    return ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common() if reason != "empty")


def _numbers_text(rosters: Sequence[Roster]) -> str:
    """Return the column from which the numbers are read; for several rosters, each one's if they differ."""
    columns = {roster.name: _column_text(roster) for roster in rosters}
    if len(set(columns.values())) == 1:
        return next(iter(columns.values()))
    return "; ".join(f"{name}: {column}" for name, column in columns.items())


def _column_text(roster: Roster) -> str:
    if roster.format == "csv" and not roster.columns.has_header:
        return f"column {roster.columns.number + 1}, no header"
    above = f", header in line {roster.header_line}" if roster.header_line and roster.header_line > 1 else ""
    return f"column {mask_value(roster.columns.name('number'))}{above}"


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
