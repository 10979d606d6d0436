"""What the codes of a batch cost, by the operator's own prices, and the budget that they may cost.

Plivo does not say what a code costs, so the prices are the operator's. Amounts are exact: a text becomes a `Decimal` of
up to six places, and Redis keeps millionths.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from ringproof.errors import InvalidRequest
from ringproof.ledger.row_outcomes import LISTS
from ringproof.phone.masking import mask_value

MILLIONTHS: Final = 1_000_000

LARGEST_FILE: Final = 64 * 1024
"""Bytes of a file with prices: a line for each country and channel has a tenth of it."""

_AMOUNT: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?", re.ASCII)
_WHOM: Final = re.compile(rf"(?P<country>[A-Z]{{2}}|001|\*)(?:/(?P<channel>{'|'.join(LISTS)}))?")
_CURRENCY: Final = re.compile(r"\S(?:.{0,10}\S)?")
_REMEDY: Final = "write US=0.05,GB=0.04; US/call=0.02 is the price of a call, and *=0.10 that of all other countries"


def read_amount(name: str, value: str) -> Decimal:
    """Return an amount such as `25` or `0.0475`. Raises `InvalidRequest`, which names the field."""
    text = value.strip()
    if not _AMOUNT.fullmatch(text):
        raise InvalidRequest(name, mask_value(value), "an amount such as 25 or 0.0475, with up to 6 decimals")
    return Decimal(text)


def read_currency(value: str) -> str:
    """Return the text that stands behind amounts, such as `USD`. Raises `InvalidRequest` if it is none for that."""
    text = value.strip()
    if not (_CURRENCY.fullmatch(text) and text.isprintable()):
        raise InvalidRequest("currency", mask_value(value), "1 to 12 characters, such as USD")
    return text


@dataclass(frozen=True, slots=True)
class Prices:
    """What a code costs: by country, `*` for all others; with `/sms` or `/call` for one channel alone.

    >>> prices = Prices.read("US=0.05,US/call=0.02,*=0.1", "USD")
    >>> prices.of("US", "sms"), prices.of("US", "call"), prices.of("DE", "sms")
    (Decimal('0.05'), Decimal('0.02'), Decimal('0.1'))
    """

    by_whom: Mapping[str, Decimal]
    currency: str = ""

    @classmethod
    def read(cls, text: str, currency: str = "") -> Self:
        """Return the prices of a text, with commas or line breaks between them; a line that begins with # is none.

        Raises `InvalidRequest`, which names the wrong part.
        """
        prices: dict[str, Decimal] = {}
        lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
        for part in filter(None, (part.strip() for line in lines for part in line.split(","))):
            whom, _, amount = (piece.strip() for piece in part.partition("="))
            match = _WHOM.fullmatch(whom.upper() if "/" not in whom else _capitals(whom))
            if match is None:
                raise InvalidRequest("price", mask_value(part), _REMEDY)
            if not _is_country(match["country"]):
                raise InvalidRequest("price", mask_value(part), f"{match['country']} is no country; Britain is GB")
            if match[0] in prices:
                raise InvalidRequest("price", mask_value(part), f"name {match[0]} once")
            prices[match[0]] = read_amount("price", amount)
        if not prices:
            raise InvalidRequest("price", mask_value(text), _REMEDY)
        return cls(MappingProxyType(prices), currency)

    @classmethod
    def read_file(cls, path: Path, currency: str = "") -> Self:
        """Return the prices of a file, as `read` does. Raises `InvalidRequest` also if the file cannot be read."""
        try:
            with path.open("rb") as file:
                text = file.read(LARGEST_FILE + 1).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise _no_prices(path, str(error.strerror) if isinstance(error, OSError) else "it is not text") from None
        if len(text) > LARGEST_FILE:
            raise _no_prices(path, "it is too long")
        return cls.read(text, currency)

    def of(self, country: str, channel: str) -> Decimal | None:
        """Return what a code to a country costs; None if that has no price."""
        names = (f"{country}/{channel}", country, f"*/{channel}", "*")
        return next((self.by_whom[name] for name in names if name in self.by_whom), None)

    def total(self, codes: Mapping[tuple[str, str], int]) -> Decimal:
        """Return what codes cost, by country and channel; those without a price cost nothing here."""
        priced = ((self.of(*whom), count) for whom, count in codes.items())
        return sum((price * count for price, count in priced if price is not None), Decimal())

    def without(self, codes: Iterable[tuple[str, str]]) -> list[str]:
        """Return the countries without a price among these: `DE`, or `DE/call` if its texts have one."""
        missing = {whom for whom in codes if self.of(*whom) is None}
        names = set()
        for country, channel in missing:
            is_priced = any(self.of(country, other) is not None for other in LISTS)
            names.add(f"{country or 'no country'}/{channel}" if is_priced else country or "no country")
        return sorted(names)

    def packed(self) -> str:
        """Return the prices as Redis keeps them: in millionths."""
        return json.dumps({whom: int(price * MILLIONTHS) for whom, price in self.by_whom.items()})

    @classmethod
    def unpack(cls, packed: str, currency: str) -> Self:
        """Return the prices that `packed` has written."""
        return cls(MappingProxyType({whom: amount_of(price) for whom, price in json.loads(packed).items()}), currency)


@dataclass(frozen=True, slots=True)
class Payment:
    """How the codes of a batch are paid for when it is imported.

    For a resend, `payer` is the batch whose prices and budget count: the first one.
    """

    prices: Prices | None = None
    budget: Decimal | None = None
    payer: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a batch's codes have cost so far, by the operator's own prices.

        Cost(spent=Decimal("12.35"), budget=Decimal("25"), currency="USD", unpriced=("DE",), payer="spring")

    A code counts once it may be sent, and not if it was surely not sent. `budget` None: there is none. The countries
    `unpriced` have no price, and count nothing. A resend spends from the budget of the batch `payer`, and `spent` is
    what both have spent.
    """

    spent: Decimal
    budget: Decimal | None
    currency: str
    unpriced: Sequence[str]
    payer: str

    def as_json(self) -> dict[str, object]:
        """Return it for JSON: amounts are texts, so that none is rounded."""
        budget = None if self.budget is None else f"{self.budget:f}"
        return {
            "spent": f"{self.spent:f}",
            "budget": budget,
            "currency": self.currency,
            "unpriced": list(self.unpriced),
            "payer": self.payer,
        }

    def __str__(self) -> str:
        """Return it as a person reads it: `12.35 of 25.00 USD`."""
        of = f" of {amount_text(self.budget)}" if self.budget is not None else ""
        unpriced = f", without {', '.join(self.unpriced)}, which have no price" if self.unpriced else ""
        return f"{with_currency(amount_text(self.spent) + of, self.currency)}{unpriced}"


def amount_of(millionths: int | str) -> Decimal:
    """Return the amount that Redis keeps as millionths."""
    return Decimal(int(millionths)) / MILLIONTHS


def millionths_of(amount: Decimal) -> int:
    """Return an amount as Redis keeps it."""
    return int(amount * MILLIONTHS)


def amount_text(amount: Decimal) -> str:
    """Return an amount with two decimals, and more if it has them.

    >>> amount_text(Decimal("1234.5")), amount_text(Decimal("0.0475"))
    ('1,234.50', '0.0475')
    """
    cents = amount.quantize(Decimal("0.01"))
    return f"{cents:,}" if cents == amount else f"{amount.quantize(Decimal('0.000001')):,}".rstrip("0")


def with_currency(text: str, currency: str) -> str:
    """Return an amount with the operator's currency behind it, if there is one."""
    return f"{text} {currency}" if currency else text


def _no_prices(path: Path, why: str) -> InvalidRequest:
    return InvalidRequest(
        "price", str(path), f"no prices can be read there ({why}); name a file of prices, or {_REMEDY}"
    )


def _is_country(name: str) -> bool:
    """A price of UK would count nothing, and Britain's codes would have that of all other countries."""
    from ringproof.phone.number import check_region  # noqa: PLC0415  # phonenumbers' import takes a quarter of a second

    if name in {"001", "*"}:
        return True
    try:
        check_region(name)
    except InvalidRequest:
        return False
    return True


def _capitals(whom: str) -> str:
    country, _, channel = whom.partition("/")
    return f"{country.strip().upper()}/{channel.strip().lower()}"
