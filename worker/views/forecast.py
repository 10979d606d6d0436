"""The forecast of an import, as a person reads it."""

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rich.table import Table

from ringproof.batches.forecast import Forecast, Tally
from ringproof.ledger.acceptance import Disposition
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


MOST_COUNTRIES: Final = 10
"""Countries that a forecast names."""

_NAMES: Final = (
    "name",
    "nombre",
    "nom",
    "nome",
    "naam",
    "company",
    "firma",
    "empresa",
    "société",
    "azienda",
    "姓名",
    "名前",
    "이름",
)
"""Words in the names of columns that an operator may want as the alias."""


def forecast_view(tally: Tally, forecast: Forecast, rosters: Sequence[Roster] = ()) -> Table:
    """Return what an import would do, for a person.

    number      column 'Phone'
    alias       none (there is 'Company name': --map alias='Company name')
    rows        200
    rejected    20: no_country 12, invalid 8
    duplicates  6 rows
    countries   US 120, GB 60
    no code     3 verified already, 1 requested already
    to send     161 texts and 9 calls
    asleep now  none
    takes       9 s at the present pace of 300/5s, calls 2/1s, if nothing else is sent
    """
    about = "" if forecast.is_exact else "about "
    skipped = [(count, _WHY_NO_CODE.get(why, why)) for why, count in forecast.skipped.items() if count]
    codes = [(forecast.texts, "text"), (forecast.calls, "call")]
    to_send = " and ".join(counted(count, noun) for count, noun in codes if count) or "nothing"
    return fact_table(
        {
            "number": _of_rosters(rosters, _number_text),
            "alias": _of_rosters(rosters, _alias_text),
            "rows": f"{tally.rows:,}",
            "rejected": f"{tally.reasons.total():,}: {reasons_text(tally.reasons)}" if tally.reasons else "",
            "duplicates": f"{about}{counted(forecast.duplicates, 'row')}" if forecast.duplicates else "",
            "countries": _countries_text(tally.countries),
            "no code": ", ".join(f"{about}{count:,} {why}" for count, why in skipped),
            "to send": f"{about}{to_send}",
            **_asleep(forecast, about),
            "takes": _duration_text(forecast),
        }
    )


def _asleep(forecast: Forecast, about: str) -> dict[str, str]:
    """Return how many numbers have night now, whether or not the worker waits until the morning."""
    if not forecast.asleep:
        return {"asleep now": "none"}
    if forecast.quiet_hours:
        wait = f"of them wait until their quiet hours ({forecast.quiet_hours}) end"
        return {"quiet hours": f"{about}{forecast.asleep:,} {wait}"}
    not_set = "RINGPROOF_QUIET_HOURS is not set, so the worker sends to them all the same"
    return {"asleep now": f"{about}{forecast.asleep:,} of them ({forecast.night} where they are); {not_set}"}


def _of_rosters(rosters: Sequence[Roster], text_of: Callable[[Roster], str]) -> str:
    """Return a text about the only roster, or a line for each of several if they differ."""
    texts = {roster.name: text_of(roster) for roster in rosters}
    if len(set(texts.values())) <= 1:
        return next(iter(texts.values()), "")
    return "\n".join(f"{text} in {name}" for name, text in texts.items())


def _number_text(roster: Roster) -> str:
    columns = roster.columns
    if roster.format == "csv" and not columns.has_header:
        return f"column {columns.number + 1}; there is no header"
    return f"column {mask_value(columns.names[columns.number])}"


def _alias_text(roster: Roster) -> str:
    columns = roster.columns
    if columns.alias is not None:
        return f"column {mask_value(columns.names[columns.alias])}"
    for word in _NAMES:
        for place, name in enumerate(columns.names):
            if word in name.casefold() and place not in {columns.number, columns.channel, columns.subaccount}:
                return f"none (there is {mask_value(name)}: --map alias={shlex.quote(name)})"
    return "none"


def _countries_text(countries: Counter[str]) -> str:
    """Return how many rows each country has: `US 120, GB 60, and 12 in 3 more`."""
    shown = countries.most_common(MOST_COUNTRIES)
    text = ", ".join(f"{country} {count:,}" for country, count in shown)
    rest = countries.total() - sum(count for _, count in shown)
    return f"{text}, and {rest:,} in {len(countries) - len(shown)} more" if rest else text


def reasons_text(reasons: Counter[str]) -> str:
    """Return reasons with their counts, the most frequent first: `no_country 12, invalid 8`."""
    return ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())


def _duration_text(forecast: Forecast) -> str:
    status, duration = forecast.status, forecast.duration
    if status is None or duration is None:
        return ""
    calls = f", calls {status.call_rate}" if forecast.calls else ""
    paused = "; sending is paused now (ringproof status says why)" if status.pauses else ""
    return f"{duration_text(duration)} at the present pace of {status.rate}{calls}, if nothing else is sent{paused}"
