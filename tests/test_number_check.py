"""`check_number` raises what `.delay` raises for a number, and so do Django's field and pydantic's type."""

import itertools
import uuid
from typing import Annotated

import phonenumbers
import pytest
from django import setup
from django.conf import settings as django_settings
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel, ValidationError
from support.harness import fresh_number

from ringproof import check_number, initiate_verification, runtime
from ringproof.celery.verification import Accepting, accept
from ringproof.errors import InvalidNumber, InvalidRequest, Misconfigured, RingproofError
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from ringproof.ledger.request import VerificationRequest
from ringproof.phone.country_list import parse_countries
from ringproof.policy import Policy
from ringproof.pydantic import E164, CheckedNumber, refused_number
from ringproof.testing import eager
from ringproof.words import sentence

KINDS = sorted(kind for name, kind in vars(phonenumbers.PhoneNumberType).items() if name.isupper())
LISTS = ("", "all", "US,CA", "GB,personal,+881", "all,personal,+870", "+881", "DE")
WRITTEN = [
    *("+1 (415) 555-2671", "415 555 2671", "00 49 30 12345678", "491716783154", "020 7946 0958", "1.41555E+10", "0"),
    *("+1 415 555 2671 ext 3", "1-800-FLOWERS", "", " ", "+", "\u202e12", "1" * 65, "+15005550006", "+4930123456"),
    *(None, 4155552671, True, [], b"+14155552671", 1.5, phonenumbers.parse("+14155552671")),
]


def examples():
    """A number of each kind in each country, as phonenumbers has them."""
    for region, kind in itertools.product(sorted(phonenumbers.SUPPORTED_REGIONS), KINDS):
        if (
            number := phonenumbers.example_number_for_type(region, kind)
        ) and kind < phonenumbers.PhoneNumberType.UNKNOWN:
            yield phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    for code in sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS):
        number = phonenumbers.example_number_for_non_geo_entity(code)
        yield phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


EXAMPLES = sorted(set(examples()))


@pytest.fixture
def delayed(redis_server):
    """Return what `.delay` accepts for a number: it writes into a ledger of this test's own, where nobody works."""
    client = connect(redis_server.url)
    ledger = Ledger(client, prefix=f"check-{uuid.uuid4().hex}")

    def delayed_(number, countries="", **options):
        wanted = VerificationRequest.read((number,), options, runtime.region())
        accept(Accepting(ledger, wanted, Lane.INTERACTIVE, uuid.uuid4().hex))
        return wanted.number

    def publish(countries, **more):
        names = parse_countries(countries) if countries else ()
        uncapped = {"range_codes_per_hour": 0, "country_codes_per_hour": 0, "people_codes_per_day": 0}
        ledger.publish_policy(Policy(countries=tuple(sorted(names)), breaker_percent=0, **uncapped, **more))

    delayed_.publish = publish
    yield delayed_
    keys = client.keys(f"{ledger.keys.prefix}*")
    client.delete(*keys)
    client.close()


def outcome(ask, *args, **kwargs):
    """The number, or the error with its text."""
    try:
        return ask(*args, **kwargs)
    except RingproofError as error:
        return type(error), error.args, str(error)


@pytest.mark.parametrize("countries", LISTS)
def test_it_says_what_delay_says_of_a_number_of_each_kind_in_each_country(delayed, monkeypatch, countries):
    monkeypatch.setenv("RINGPROOF_COUNTRIES", countries)
    delayed.publish(countries)
    for number in EXAMPLES[LISTS.index(countries) % 3 :: 3]:
        assert outcome(check_number, number, channel="auto") == outcome(delayed, number, channel="auto"), number


@pytest.mark.parametrize("region", ["", "US", "de"])
def test_it_says_what_delay_says_of_whatever_is_given(delayed, monkeypatch, region):
    monkeypatch.setenv("RINGPROOF_REGION", region)
    delayed.publish("")
    options = [{}, {"region": "GB"}, {"channel": "call"}, {"channel": "auto", "region": " "}]
    wrong = [{"region": "Narnia"}, {"region": 7}, {"channel": "fax"}, {"channel": None}, {"account": ""}]
    for number, given in itertools.product(WRITTEN, [*options, *wrong]):
        assert outcome(check_number, number, **given) == outcome(delayed, number, **given), (number, given)


def test_it_needs_no_redis_and_shows_no_number(monkeypatch):
    monkeypatch.setenv("RINGPROOF_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(runtime, "ledger", None)
    number = fresh_number()

    assert check_number(f" {number} ").e164 == number
    assert number not in repr(check_number(number))
    with pytest.raises(InvalidNumber) as refused:
        check_number(f"{number}0000000000")
    assert number not in str(refused.value)


def test_an_account_has_its_own_list_of_countries(monkeypatch, tmp_path):
    file = tmp_path / "accounts.toml"
    file.write_text('[acme]\ncountries = "GB"\n')
    file.chmod(0o600)
    monkeypatch.setenv("RINGPROOF_ACCOUNTS", str(file))
    monkeypatch.setenv("RINGPROOF_COUNTRIES", "US")

    assert check_number("+447400123456", account="acme").country == "GB"
    assert outcome(check_number, "+447400123456")[1][0] == "country"
    assert outcome(check_number, "+14155552671", account="acme")[1][0] == "country"
    assert outcome(check_number, "+14155552671", account="acne")[1] == ("acne", "acme")


@pytest.mark.parametrize("countries", ["", "GB", "all,personal"])
def test_no_list_leaves_a_test_number_out(delayed, monkeypatch, countries):
    """Also one that is a personal number, which no code is sent to by default."""
    numbers = ("+15005550006", "+14155550166")
    monkeypatch.setenv("RINGPROOF_TEST_NUMBERS", ",".join(f"{number}=123456" for number in numbers))
    monkeypatch.setenv("RINGPROOF_COUNTRIES", countries)
    delayed.publish(countries, test_numbers=numbers)

    for number in numbers:
        assert check_number(number) == delayed(number)
        assert outcome(check_number, number, channel="fax") == outcome(delayed, number, channel="fax")
    for number in ("+15005550009", "+14155550167"):
        assert outcome(check_number, number) == outcome(delayed, number)


def test_it_knows_test_numbers_in_the_eager_mode(monkeypatch):
    monkeypatch.setenv("RINGPROOF_TEST_NUMBERS", "+15005550006=123456")
    with eager():
        assert check_number("+15005550006") == check_number(initiate_verification.delay("+15005550006").phone_number)
        for ask in (check_number, initiate_verification.delay):
            with pytest.raises(InvalidNumber, match="personal"):
                ask("+15005550009")


def test_wrong_test_numbers_are_the_operators_to_correct(monkeypatch):
    monkeypatch.setenv("RINGPROOF_TEST_NUMBERS", "+15005550019=12")
    with pytest.raises(Misconfigured, match="RINGPROOF_TEST_NUMBERS") as refused:
        check_number("+15005550019")
    assert "+15005550019" not in str(refused.value)


def test_a_wrong_list_of_countries_is_the_operators_to_correct(monkeypatch):
    monkeypatch.setenv("RINGPROOF_COUNTRIES", "Narnia")
    with pytest.raises(Misconfigured, match="RINGPROOF_COUNTRIES"):
        check_number("+14155552671")


class Wish(BaseModel):
    phone: E164
    office: Annotated[str, CheckedNumber(region="GB", channel="auto", language="es")] = "+14155552671"


class TestPydantic:
    def test_a_field_has_the_number_as_e164(self):
        wish = Wish(phone="+1 (415) 555-2671", office="020 7946 0958")

        assert wish.model_dump() == {"phone": "+14155552671", "office": "+442079460958"}
        assert Wish.model_validate_json(wish.model_dump_json()) == wish

    @pytest.mark.parametrize("given", ["555-0199", 4155552671, None, [], True, "{x}"])
    def test_the_error_has_the_reason_and_a_sentence_for_users(self, given):
        with pytest.raises(InvalidNumber) as ours:
            check_number(given)
        with pytest.raises(ValidationError) as theirs:
            Wish(phone=given)
        [error] = theirs.value.errors(include_url=False, include_input=False, include_context=False)

        expected = {"type": f"phone_number.{ours.value.reason}", "loc": ("phone",), "msg": sentence(ours.value)}
        assert error == expected
        assert refused_number(theirs.value.errors()).args == (ours.value.reason, "")

    def test_the_field_has_its_own_region_channel_and_language(self):
        with pytest.raises(ValidationError, match=r"número"):
            Wish(phone="+14155552671", office="020 7946")
        with pytest.raises(ValidationError, match=r"landline"):
            Wish(phone="+442079460958")
        with pytest.raises(ValidationError) as missing:
            Wish()
        assert refused_number(missing.value.errors()) is None

    def test_fastapi_documents_it_and_answers_422_with_the_sentence(self):
        app = FastAPI()

        @app.post("/phone")
        def phone(wish: Wish) -> str:
            return wish.phone

        with TestClient(app) as client:
            schema = client.get("/openapi.json").json()["components"]["schemas"]["Wish"]["properties"]["phone"]
            right = client.post("/phone", json={"phone": "+1 415 555 2671"})
            wrong = client.post("/phone", json={"phone": "555-0199"})

        assert (schema["type"], schema["format"]) == ("string", "phone")
        assert right.json() == "+14155552671"
        assert wrong.status_code == 422
        assert wrong.json()["detail"][0]["msg"].startswith("Please write the phone number with its country code")


@pytest.fixture(scope="module")
def django():
    """Django's forms, with settings of this process's own."""
    if not django_settings.configured:
        django_settings.configure(USE_I18N=True, SECRET_KEY="a test's")
        setup()
    import ringproof.django  # noqa: PLC0415  # it loads Django

    return ringproof.django


class TestDjango:
    def test_a_field_cleans_to_e164(self, django):
        field = django.PhoneNumberField(region="GB", channel="auto")

        assert field.clean(" 020 7946 0958 ") == "+442079460958"
        assert field.widget.input_type == "tel"
        assert django.PhoneNumberField(required=False).clean(" ") == ""
        assert django.PhoneNumberField().clean(phonenumbers.parse("+14155552671")) == "+14155552671"

    @pytest.mark.parametrize("given", ["555-0199", "1-800-FLOWERS", "\0", "1" * 100_000, "+442079460958", 14155552671])
    def test_an_error_has_the_reason_and_a_sentence_for_users(self, django, given):
        with pytest.raises(InvalidNumber) as ours:
            check_number(given)
        for clean in (django.PhoneNumberField().clean, django.validate_phone_number):
            with pytest.raises(django.ValidationError) as theirs:
                clean(given)

            assert theirs.value.messages == [sentence(ours.value)]
            assert theirs.value.code == ours.value.reason

    def test_an_empty_field_is_djangos_own_error(self, django):
        with pytest.raises(django.ValidationError) as refused:
            django.PhoneNumberField().clean("")

        assert refused.value.code == "required"

    def test_the_sentence_is_in_the_active_language_or_the_applications_own(self, django):
        from django.utils import translation  # noqa: PLC0415  # it loads Django

        error = InvalidNumber("no_country", "")
        own = django.PhoneNumberField(error_messages={"no_country": "Which country?"})
        for language, text in (("es-mx", sentence(error, "es")), ("fr", sentence(error))):
            with translation.override(language), pytest.raises(django.ValidationError) as refused:
                django.PhoneNumberField().clean("555-0199")
            assert refused.value.messages == [text]
        with pytest.raises(django.ValidationError, match=r"Which country\?"):
            own.clean("555-0199")

    @pytest.mark.parametrize("wrong", [{"channel": "fax"}, {"region": 7}, {"region": "Narnia"}])
    def test_a_mistake_in_the_program_shows_when_the_form_is_written(self, django, wrong):
        with pytest.raises(InvalidRequest):
            django.PhoneNumberField(**wrong)


@pytest.mark.parametrize("typed", ["tel:+14155552671", "tel:+1-415-555-2671"])
def test_a_number_as_a_telephone_hands_it_over_is_a_number(typed):
    assert check_number(typed).e164 == "+14155552671"


@pytest.mark.parametrize("typed", ["mobile:+14155552671", "acme:+14155552671/1764374400"])
def test_who_types_the_id_of_an_account_sees_a_sentence_and_no_error_of_the_program(django, typed):
    for check in (django.PhoneNumberField().clean, django.validate_phone_number):
        with pytest.raises(django.ValidationError) as refused:
            check(typed)
        assert refused.value.code == "not_a_number"
    with pytest.raises(ValidationError) as wrong:
        Wish(phone=typed)
    assert wrong.value.errors()[0]["type"] == "phone_number.not_a_number"
