"""Rosters to measure with: real number plans, people's notations, 3 % of dirt and 5 % of duplicates.

    python tests/benchmarks/rosters.py 1000000 roster.csv

The same seed gives the same roster, with the same phonenumbers.
"""

import csv
import random
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

HOME = "US"
"""Where the roster was written, and so whose numbers stand in it without a country, a third of all."""

ABROAD = ("CA", "GB", "DE", "FR", "IT", "ES", "IN", "JP", "AU", "BR", "MX", "ZA")
HEADS = 60
BAD, DUPLICATE = 0.03, 0.05
REMEMBERED = 5_000  # a duplicate repeats one of so many before it

GIVEN = ("Ada", "Björn", "Chloé", "Deepa", "Émile", "Fatma", "Gōro", "Hanna", "Ines", "João", "Kwame", "Łucja")
PLACES = ("front desk", "sales", "warehouse", "night shift", "support", "branch, north", "branch, south", "fleet")


@dataclass(frozen=True)
class Head:
    """The first digits of real numbers, and the notations in which any last four may be written."""

    national: str
    country: str
    notations: tuple[str, ...]

    def write(self, notation: int, last: int) -> str:
        return self.notations[notation % len(self.notations)] % tuple(f"{last:04}")


def heads(country: str, count: int, chance: random.Random) -> list[Head]:
    """Beginnings of this country's mobile numbers with which every end is a number in use."""
    example = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE)
    assert example is not None
    national = phonenumbers.national_significant_number(example)
    found: dict[str, Head] = {}
    while len(found) < count:
        head = national[:2] + "".join(str(chance.randrange(10)) for _ in national[2:-4])
        numbers = [phonenumbers.parse(head + last, country) for last in ("0000", "5814", "9999")]
        if head in found or not all(map(phonenumbers.is_valid_number, numbers)):
            continue
        if phonenumbers.region_code_for_number(numbers[1]) != country:
            continue
        notations = [template(text) for text in written(numbers[1], country)]
        found[head] = Head(head, country, tuple(text for text in notations if reads_as(text, numbers)))
        assert found[head].notations
    return list(found.values())


def written(number: PhoneNumber, country: str) -> list[str]:
    """A number in the notations of people, the usual ones more than once."""
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    international = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    if country == HOME:
        national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        return [
            e164,
            e164,
            e164,
            international,
            national,
            national,
            national.replace("(", "").replace(") ", "-"),
            e164[1:],
        ]
    dialled = phonenumbers.format_out_of_country_calling_number(number, HOME)
    return [e164] * 5 + [
        international,
        international,
        international.replace(" ", "-"),
        dialled,
        dialled.replace(" ", ""),
    ]


def template(text: str) -> str:
    """The text with places for its last four digits."""
    at = [place for place, letter in enumerate(text) if letter.isdigit()][-4:]
    return "".join("%s" if place in at else letter for place, letter in enumerate(text))


def reads_as(text: str, numbers: list[PhoneNumber]) -> bool:
    ends = [phonenumbers.national_significant_number(number)[-4:] for number in numbers]
    return all(phonenumbers.parse(text % tuple(end), HOME) == number for end, number in zip(ends, numbers, strict=True))


def spoilt(text: str, chance: random.Random) -> str:
    """A good row made bad, in one of the ways in which rows are bad."""
    digits = "".join(filter(str.isdigit, text))
    return chance.choice(
        (
            f"{digits[0]}.{digits[1:6]}E+10",
            f"{digits}.0",
            f"{text} ext. 12",
            f"{text}x{chance.randrange(99)}",
            text[:-3],
            f"{text}77777",
            "+1 555 555 5555",
            "1-800-FLOWERS",
            "n/a",
            "-",
            "",
            "+19002345678",
            "+493012345678",
            "+999123456789",
            f"{text} / {text}",
        )
    )


def drawn(
    at_home: list[Head], abroad: list[Head], given: set[tuple[str, str, int]], chance: random.Random
) -> tuple[Head, int]:
    """A number that was not given yet; of a million, chance alone would repeat as many again as are meant to be."""
    while True:
        head, last = chance.choice(at_home if chance.random() < 0.6 else abroad), chance.randrange(10_000)
        if (key := (head.country, head.national, last)) not in given:
            given.add(key)
            return head, last


def rows(count: int, seed: int = 1) -> Iterator[tuple[str, str]]:
    """Yield phone and alias of each row."""
    chance = random.Random(seed)
    at_home = heads(HOME, HEADS * 4, chance)
    abroad = [head for country in ABROAD for head in heads(country, HEADS, chance)]
    before: deque[tuple[Head, int]] = deque(maxlen=REMEMBERED)
    given: set[tuple[str, str, int]] = set()
    for number in range(count):
        if before and chance.random() < DUPLICATE:
            head, last = chance.choice(before)
        else:
            head, last = drawn(at_home, abroad, given, chance)
            before.append((head, last))
        text = head.write(chance.randrange(10), last)
        if chance.random() < BAD:
            text = spoilt(text, chance)
        yield text, f"{GIVEN[number % len(GIVEN)]}, {PLACES[number % len(PLACES)]} {number}"


def write(path: Path, count: int, seed: int = 1) -> None:
    """Write a roster of this many rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("phone", "alias"))
        writer.writerows(rows(count, seed))


if __name__ == "__main__":
    write(Path(sys.argv[2]), int(sys.argv[1]))
