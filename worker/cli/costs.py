"""The options for what codes cost, `--price`, `--budget` and `--currency`, and the stop before too dear an import."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from rich.text import Text

from ringproof.batches.forecast import Forecast
from ringproof.batches.importing import NO_PRICES
from ringproof.batches.prices import Payment, Prices, amount_text, read_amount, read_currency, with_currency
from ringproof.errors import InvalidRequest
from worker.views.console import console
from worker.views.exit_code import Exit


class ReadOption(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """An option that the library reads, and whose error it words."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name, self._read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what the text stands for, or fail with what is wrong with it, and how to write it."""
        try:
            return self._read(value) if isinstance(value, str) else value
        except InvalidRequest as error:
            self.fail(f"{error.value} is not allowed; {error.remedy}", param, ctx)


def _prices(text: str) -> Prices:
    """Return the prices of an option: `US=0.05`, or the path of a file of such lines."""
    return Prices.read(text) if "=" in text or not text.strip() else Prices.read_file(Path(text))


PRICE: Final = click.option(
    "--price",
    "prices",
    type=ReadOption("PRICES", _prices),
    metavar="US=0.05,GB=0.04",
    help="What a code costs you, by country; or a file of such lines. Prices are Plivo's.",
)
BUDGET: Final = click.option(
    "--budget",
    type=ReadOption("AMOUNT", partial(read_amount, "budget")),
    metavar="AMOUNT",
    help="Send for no more than this. Takes --price.",
)
BUDGET_AGAIN: Final = click.option(
    "--budget",
    type=ReadOption("AMOUNT", partial(read_amount, "budget")),
    metavar="AMOUNT",
    help="The new budget, for all codes of the batch and its resends.",
)
CURRENCY: Final = click.option(
    "--currency",
    type=ReadOption("TEXT", read_currency),
    metavar="TEXT",
    help="What to write behind amounts, such as USD.",
)


def payment_of(prices: Prices | None, budget: Decimal | None, currency: str | None) -> Payment:
    """Return what the options say. Raises `UsageError` for a budget or a currency without prices."""
    if prices is None:
        for option, value in (("--budget", budget), ("--currency", currency)):
            if value is not None:
                raise click.UsageError(f"{option} needs prices: --price US=0.05, by country")
        return NO_PRICES
    return Payment(Prices(prices.by_whom, currency or ""), budget)


def refuse_over_budget(payment: Payment, expected: Forecast, noun: str) -> None:
    """End the command if the forecast is over the budget, or the budget cannot hold: then nothing was `noun`."""
    prices, budget = payment.prices, payment.budget
    if prices is None or budget is None:
        return
    if missing := prices.without(expected.codes):
        why = f"there is no price of {', '.join(missing)}; add it to --price, or *=AMOUNT for all others"
    elif (total := prices.total(expected.codes)) > budget:
        amounts = [with_currency(amount_text(one), prices.currency) for one in (total, budget)]
        about = "" if expected.is_exact else "about "
        left = "what is left of the budget" if payment.payer else "the budget"
        raises = f"ringproof batch resume {payment.payer} --budget AMOUNT" if payment.payer else "--budget"
        why = f"the codes cost {about}{amounts[0]}, and {left} is {amounts[1]}; to raise it: {raises}"
    else:
        return
    console(stderr=True).print(Text.assemble(("error: ", "red"), f"nothing was {noun}: {why}"))
    raise click.exceptions.Exit(Exit.REFUSED)
