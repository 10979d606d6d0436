"""The forecast of an import, as a person reads it."""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rich.table import Table

from ringproof.batches.forecast import Forecast, Tally
from ringproof.batches.importing import NO_PRICES
from ringproof.batches.prices import Payment, amount_text, with_currency
from ringproof.clock import duration_text
from ringproof.ledger.acceptance import Disposition
from ringproof.phone.caller_id import ALIAS_LENGTH
from ringproof.phone.country_list import PLIVO_SERVES
from ringproof.phone.masking import mask_value
from ringproof.rosters.roster import Roster
from worker.views.console import fact_table
from worker.views.text import counted, json_line

_WHY_NO_CODE: Final[Mapping[Disposition, str]] = {
    Disposition.VERIFIED: "verified already",
    Disposition.LIVE: "with a code that may be live",
    Disposition.JOINED: "requested already",
    Disposition.CAPPED: "with as many codes or calls as they may have",
    Disposition.COUNTRY: "that RINGPROOF_COUNTRIES leaves out",
}


MOST_COUNTRIES: Final = 10
"""Countries that a forecast names."""

_NAMES: Final = (
    *("name", "nombre", "nom", "nome", "naam", "company", "firma", "empresa", "société", "azienda"),
    *("姓名", "名前", "이름"),
)
"""How a word ends in the names of columns that an operator may want as the alias."""


def forecast_view(
    tally: Tally, forecast: Forecast, rosters: Sequence[Roster] = (), payment: Payment = NO_PRICES
) -> Table:
    """Return what an import would do, for a terminal; a resend has no rosters.

    numbers     column 'Phone', header in line 2
    alias       none (there is 'Company name': --map alias='Company name')
    rows        205
    no number   5 rows
    rejected    20: no_country 12, invalid 8
    duplicates  6 rows
    countries   US 120, GB 60
    outside US  60 rows: Plivo means this API for the United States; in other countries it may not work reliably, …
    no code     3 verified already, 1 requested already
    to send     161 texts and 9 calls
    costs       7.69 of a budget of 25.00 USD, by your prices; GB has none
    asleep now  none
    takes       9 s at the present pace of 300/5s, calls 2/1s, if nothing else is sent
    """
    return fact_table(forecast_facts(tally, forecast, rosters, payment))


def forecast_facts(
    tally: Tally, forecast: Forecast, rosters: Sequence[Roster] = (), payment: Payment = NO_PRICES
) -> dict[str, str]:
    """Return the facts of `forecast_view`, each text by its name; a fact without a text is not shown."""
    about = "" if forecast.is_exact else "about "
    skipped = [(count, _WHY_NO_CODE.get(why, why)) for why, count in forecast.skipped.items() if count]
    codes = [(forecast.texts, "text"), (forecast.calls, "call")]
    to_send = " and ".join(counted(count, noun) for count, noun in codes if count) or "nothing"
    return {
        "numbers": _of_rosters(rosters, _numbers_text),
        "alias": _alias_text(rosters, tally.cleaned_aliases),
        "rows": f"{tally.rows:,}",
        "no number": counted(tally.reasons["empty"], "row") if tally.reasons["empty"] else "",
        "rejected": f"{tally.rejected:,}: {reasons_text(tally.reasons)}" if tally.rejected else "",
        "lost +": lost_plus_text(tally.lost_plus) if tally.lost_plus else "",
        "duplicates": f"{about}{counted(forecast.duplicates, 'row')}" if forecast.duplicates else "",
        "countries": _countries_text(tally.countries),
        "outside US": _abroad_text(tally.countries),
        "no code": ", ".join(f"{about}{count:,} {why}" for count, why in skipped),
        "to send": f"{about}{to_send}",
        "costs": _costs_text(forecast, payment, about),
        "asleep now": _asleep_text(forecast, about),
        "takes": _duration_text(forecast) if any(count for count, _ in codes) else "",
    }


def forecast_json(tally: Tally, forecast: Forecast, payment: Payment = NO_PRICES) -> str:
    """Return what an import would do as a line of JSON; `time_left` is in seconds, and null without Redis.

    `cost` is null without prices. Its amounts are texts, so that none is rounded.
    """
    return json_line(
        {
            "rows": tally.rows,
            "rejected": dict(tally.reasons),
            "lost_plus": tally.lost_plus,
            "duplicates": forecast.duplicates,
            "countries": dict(tally.countries),
            "skipped": {str(why): count for why, count in forecast.skipped.items()},
            "texts": forecast.texts,
            "calls": forecast.calls,
            "asleep": forecast.asleep,
            "is_exact": forecast.is_exact,
            "time_left": forecast.duration,
            "cost": _cost_json(forecast, payment),
        }
    )


def _costs_text(forecast: Forecast, payment: Payment, about: str) -> str:
    """Return what the codes cost by the operator's prices: `7.69 of a budget of 25.00 USD, by your prices`."""
    prices = payment.prices
    if prices is None:
        return ""
    left = "what is left of the budget," if payment.payer else "a budget of"
    of = "" if payment.budget is None else f" of {left} {amount_text(payment.budget)}"
    amount = with_currency(f"{about}{amount_text(prices.total(forecast.codes))}{of}", prices.currency)
    missing = prices.without(forecast.codes)
    unpriced = f"; {', '.join(missing)} {'has' if len(missing) == 1 else 'have'} none" if missing else ""
    return f"{amount}, by your prices{unpriced}"


def _cost_json(forecast: Forecast, payment: Payment) -> dict[str, object] | None:
    prices = payment.prices
    if prices is None:
        return None
    return {
        "amount": f"{prices.total(forecast.codes):f}",
        "budget": None if payment.budget is None else f"{payment.budget:f}",
        "currency": prices.currency,
        "unpriced": prices.without(forecast.codes),
    }


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


def _of_rosters(rosters: Sequence[Roster], text_of: Callable[[Roster], str]) -> str:
    """Return a text about the rosters: once, or for each of them if they differ."""
    texts = {roster.name: text_of(roster) for roster in rosters}
    if len(set(texts.values())) <= 1:
        return next(iter(texts.values()), "")
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def _numbers_text(roster: Roster) -> str:
    """Return the column from which the numbers are read."""
    if roster.format == "csv" and not roster.columns.has_header:
        return f"column {roster.columns.number + 1}, no header"
    above = f", header in line {roster.header_line}" if roster.header_line and roster.header_line > 1 else ""
    return f"column {mask_value(roster.columns.name('number'))}{above}"


def _alias_text(rosters: Sequence[Roster], cleaned: int) -> str:
    """Return the column that becomes the alias, and how many aliases were cleaned."""
    rules = f"no line breaks or control characters, {ALIAS_LENGTH} characters at most"
    columns = _of_rosters(rosters, lambda roster: _alias_column_text(roster, rosters))
    return columns + (f"; {cleaned:,} cleaned: {rules}" if cleaned else "")


def _alias_column_text(roster: Roster, rosters: Sequence[Roster]) -> str:
    """Return a roster's column of aliases, or how to map one: by its number if two have its name.

    A mapping counts for all rosters of an import. One without this column would be refused.
    """
    columns = roster.columns
    if columns.alias is not None:
        return f"column {mask_value(columns.name('alias'))}"
    taken = {columns.number, columns.channel, columns.subaccount, columns.country}
    for place, name in enumerate(columns.names):
        words = re.split(r"[\W\d_]+", name.casefold())
        is_shown_whole = mask_value(name) == repr(name)
        if place not in taken and is_shown_whole and any(word.endswith(_NAMES) for word in words):
            column = shlex.quote(name) if columns.names.count(name) == 1 else place + 1
            alone = "" if all(name in one.columns.names for one in rosters) else "imported alone, "
            return f"none (there is {name!r}: {alone}--map alias={column})"
    return "none"


def _countries_text(countries: Counter[str]) -> str:
    """Return how many rows each country has: `US 120, GB 60, and 12 in 3 more`."""
    shown = countries.most_common(MOST_COUNTRIES)
    text = ", ".join(f"{country} {count:,}" for country, count in shown)
    rest = countries.total() - sum(count for _, count in shown)
    return f"{text}, and {rest:,} in {len(countries) - len(shown)} more" if rest else text


def _abroad_text(countries: Counter[str]) -> str:
    """Return what Plivo says about rows of other countries than the United States, or nothing if there are none."""
    rows = countries.total() - countries["US"]
    return f"{counted(rows, 'row')}: {PLIVO_SERVES}" if rows else ""


def _asleep_text(forecast: Forecast, about: str) -> str:
    """Return how many numbers have night now, whether or not the worker waits until the morning."""
    if not forecast.asleep:
        return "none"
    asleep = f"{about}{forecast.asleep:,} of them"
    if forecast.quiet_hours:
        return f"{asleep} wait until their quiet hours ({forecast.quiet_hours}) end"
    not_set = "RINGPROOF_QUIET_HOURS is not set, so the worker sends to them all the same"
    return f"{asleep} ({forecast.night} where they are); {not_set}"


def _duration_text(forecast: Forecast) -> str:
    status, duration = forecast.status, forecast.duration
    if status is None or duration is None:
        return ""
    calls = f", calls {status.call_rate}" if forecast.calls else ""
    paused = "; sending is paused now (ringproof status says why)" if status.pauses else ""
    return f"{duration_text(duration)} at the present pace of {status.rate}{calls}, if nothing else is sent{paused}"
