"""Prices and amounts as operators write them: exact, and refused with a remedy."""

from decimal import Decimal

import pytest

from ringproof.batches.prices import Prices, amount_of, amount_text, millionths_of, read_amount, read_currency
from ringproof.errors import InvalidRequest


@pytest.mark.parametrize(
    ("whom", "price"),
    [
        (("US", "sms"), "0.05"),
        (("US", "call"), "0.0133"),
        (("GB", "call"), "0.04"),
        (("DE", "sms"), "0.10"),
        (("DE", "call"), "0.2"),
    ],
)
def test_a_channels_own_price_comes_before_the_countrys_and_that_before_all_others(whom, price):
    prices = Prices.read("us=0.05, US/Call=0.0133 ,GB=0.04,*=0.10,*/call=0.2")

    assert prices.of(*whom) == Decimal(price)
    assert Prices.unpack(prices.packed(), "").of(*whom) == Decimal(price)


def test_a_country_without_a_price_is_named():
    prices = Prices.read("US=0.05,GB/sms=0.04")

    assert prices.without([("US", "sms"), ("GB", "call"), ("DE", "sms"), ("DE", "call"), ("", "sms")]) == [
        "DE",
        "GB/call",
        "no country",
    ]


def test_a_file_has_a_price_in_each_line(tmp_path):
    file = tmp_path / "prices.txt"
    file.write_text("\ufeff# Plivo, November\nUS=0.05\n\n  GB = 0.04, *=1\r\n")

    assert dict(Prices.read_file(file).by_whom) == {"US": Decimal("0.05"), "GB": Decimal("0.04"), "*": Decimal(1)}


@pytest.mark.parametrize(
    "text",
    ["", "US", "US=", "US=five", "US=0,05", "US=-1", "US=0.0000001", "USA=1", "US/fax=1", "US=1,us=2", "=1", "US=1e3"],
)
def test_a_price_that_is_none_is_refused_with_a_remedy(text):
    with pytest.raises(InvalidRequest) as refused:
        Prices.read(text)

    assert refused.value.field == "price"
    assert len(refused.value.remedy) > 8


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"US=1\n" * 20_000])
def test_a_file_that_is_no_list_of_prices_is_named(tmp_path, content):
    file = tmp_path / "prices.txt"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(InvalidRequest, match=r"prices\.txt"):
        Prices.read_file(file)


@pytest.mark.parametrize("text", ["0.1", "0.000001", "999999999.999999", "25", "0"])
def test_an_amount_goes_to_redis_and_back_exactly(text):
    amount = read_amount("budget", text)

    assert amount_of(str(millionths_of(amount))) == amount == Decimal(text)


@pytest.mark.parametrize("text", ["", "-1", "1.2345678", "1e3", "NaN", "25 USD", "1,000", "٣"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(InvalidRequest):
        read_amount("budget", text)


@pytest.mark.parametrize(
    ("amount", "text"),
    [("1234.5", "1,234.50"), ("0.0475", "0.0475"), ("25", "25.00"), ("0", "0.00"), ("0.100001", "0.100001")],
)
def test_an_amount_is_shown_with_all_of_its_decimals(amount, text):
    assert amount_text(Decimal(amount)) == text


def test_a_currency_is_the_operators_own_text():
    assert read_currency(" US$ ") == "US$"
    for text in ("", "\x1b[31m", "far too long a text"):
        with pytest.raises(InvalidRequest):
            read_currency(text)


@pytest.mark.parametrize("text", ["UK=0.05,*=0.01", "uk/call=0.05", "ZZ=1"])
def test_a_price_of_no_country_is_refused(text):
    with pytest.raises(InvalidRequest, match="is no country"):
        Prices.read(text)
