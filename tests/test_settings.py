"""The settings: read from a mapping, all problems reported at once by variable name, and no secret shown."""

import base64
import os
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, time
from fractions import Fraction
from pathlib import Path

import certifi
import pytest
from dotenv import dotenv_values
from standardwebhooks import Webhook
from support.harness import AUTH_ID, AUTH_TOKEN

from ringproof.errors import Misconfigured
from ringproof.ledger.connection import connect
from ringproof.phone.quiet_hours import QuietHours
from ringproof.policy import Policy, Rate
from ringproof.secret_file import SECRET_FILES
from ringproof.settings import DEFAULT_REDIS_URL, USUAL_CA_BUNDLE, USUAL_NO_PROXY, USUAL_PROXY, Settings

ROOT = Path(__file__).parents[1]
PASSWORD = "hunter2-of-redis"
CREDENTIALS = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_AUTH_TOKEN": AUTH_TOKEN}
WRONG = {
    "RINGPROOF_REDIS_URL": f"http://:{PASSWORD}@redis:6379/0",
    "RINGPROOF_PREFIX": "wrong prefix",
    "RINGPROOF_ACCOUNTS": "wrong accounts",
    "RINGPROOF_REPLICAS": "wrong count",
    "RINGPROOF_REGION": "wrong region",
    "RINGPROOF_LOG_FORMAT": "wrong format",
    "RINGPROOF_TEST": "wrong mode",
    "RINGPROOF_TEST_NUMBERS": "wrong numbers",
    "RINGPROOF_TEST_NUMBERS_LIVE": "wrong answer",
    "RINGPROOF_IN_DOUBT": "wrong doubt",
    "RINGPROOF_RATE": "wrong rate",
    "RINGPROOF_CALL_RATE": "wrong rate of calls",
    "RINGPROOF_DOOR_RATE": "wrong rate of the door",
    "RINGPROOF_DOOR_RESEND": "wrong resend",
    "RINGPROOF_RESEND_COOLDOWN_SECONDS": "wrong cooldown",
    "RINGPROOF_MAX_CODES_PER_DAY": "wrong codes a day",
    "RINGPROOF_MAX_CALLS_PER_WEEK": "wrong calls",
    "RINGPROOF_RANGE_CODES_PER_HOUR": "wrong range",
    "RINGPROOF_MAX_WRONG_CODES": "wrong guesses",
    "RINGPROOF_COUNTRY_CODES_PER_HOUR": "wrong country",
    "RINGPROOF_PEOPLE_CODES_PER_DAY": "wrong day",
    "RINGPROOF_REQUESTER_CODES_PER_HOUR": "wrong hour",
    "RINGPROOF_REQUESTER_CODES_PER_DAY": "wrong day of one",
    "RINGPROOF_BREAKER_PERCENT": "wrong percent",
    "RINGPROOF_BREAKER_CODES": "wrong sample",
    "RINGPROOF_COUNTRIES": "wrong countries",
    "RINGPROOF_QUIET_HOURS": "wrong hours",
    "RINGPROOF_RECORD_DAYS": "wrong days",
    "RINGPROOF_REVERIFY_AFTER_DAYS": "wrong period",
    "RINGPROOF_REVERIFY_MODE": "wrong mode",
    "RINGPROOF_WEBHOOK_URL": f"http://wrong.example/{PASSWORD}",
    "RINGPROOF_WEBHOOK_SECRETS": f"whsec_{PASSWORD}",
    "RINGPROOF_WEBHOOK_ALLOW_PRIVATE": "wrong word",
    "PLIVO_AUTH_ID": "wrong id",
    "PLIVO_BASE_URL": "http://wrong.example/v1",
    "PLIVO_PROXY": f"socks5://user:{PASSWORD}@wrong.example",
    "PLIVO_CA_BUNDLE": "/wrong/bundle.pem",
}


def problems(environ, *, worker=False):
    """Return the problems of an environment, by variable."""
    with pytest.raises(Misconfigured) as caught:
        Settings.read(environ, worker=worker)
    return dict(problem.split(": ", 1) for problem in caught.value.problems)


def redis_url(url):
    return Settings.read({"RINGPROOF_REDIS_URL": url}).redis_url.get_secret_value()


WEBHOOK_URL = {"RINGPROOF_WEBHOOK_URL": "https://app.example.com/hooks"}


class TestReading:
    def test_a_producer_needs_nothing_at_all(self):
        settings = Settings.read({})

        assert settings.redis_url.get_secret_value() == DEFAULT_REDIS_URL
        assert (settings.prefix, settings.region, settings.log_format) == ("ringproof", None, "text")
        assert settings.plivo_auth_id is settings.plivo_auth_token is None
        assert settings.plivo_base_url == "https://api.plivo.com/v1"
        assert settings.policy == Policy()
        assert (settings.countries, settings.quiet_hours) == (frozenset(), None), "all countries, and no hours"

    def test_a_worker_needs_plivos_credentials_and_the_error_shows_how_to_load_them(self):
        missing = problems({}, worker=True)

        assert set(missing) == {"PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN"}
        assert all("missing" in problem and "set -a; . ./.env; set +a" in problem for problem in missing.values())
        assert Settings.read(CREDENTIALS, worker=True).plivo_auth_id == AUTH_ID

    def test_every_variable_sets_its_field(self):
        settings = Settings.read(
            CREDENTIALS
            | {
                "RINGPROOF_REDIS_URL": "rediss://:p@redis:7/3",
                "RINGPROOF_PREFIX": "ring-proof_2.b",
                "RINGPROOF_REPLICAS": "2",
                "RINGPROOF_REGION": "gb",
                "RINGPROOF_LOG_FORMAT": "json",
                "RINGPROOF_TEST": "Real",
                "RINGPROOF_TEST_NUMBERS": "+15005550006=0042",
                "RINGPROOF_TEST_NUMBERS_LIVE": "yes",
                "RINGPROOF_RATE": "0.5/1s",
                "RINGPROOF_CALL_RATE": "3/1s",
                "RINGPROOF_RESEND_COOLDOWN_SECONDS": "0",
                "RINGPROOF_MAX_CODES_PER_DAY": "1",
                "RINGPROOF_MAX_CALLS_PER_WEEK": "2",
                "RINGPROOF_RANGE_CODES_PER_HOUR": "0",
                "RINGPROOF_MAX_WRONG_CODES": "5",
                "RINGPROOF_COUNTRY_CODES_PER_HOUR": "7",
                "RINGPROOF_PEOPLE_CODES_PER_DAY": "8",
                "RINGPROOF_REQUESTER_CODES_PER_HOUR": "9",
                "RINGPROOF_REQUESTER_CODES_PER_DAY": "0",
                "RINGPROOF_BREAKER_PERCENT": "0",
                "RINGPROOF_BREAKER_CODES": "10",
                "RINGPROOF_COUNTRIES": "US,gb, Ca,us",
                "RINGPROOF_QUIET_HOURS": "21:00-08:00",
                "RINGPROOF_RECORD_DAYS": "1",
                "PLIVO_BASE_URL": "http://127.0.0.1:8077/v1/",
            },
            worker=True,
        )

        assert settings.redis_url.get_secret_value() == "rediss://:p@redis:7/3"
        assert (settings.prefix, settings.region, settings.log_format) == ("ring-proof_2.b", "GB", "json")
        assert settings.replicas == 2
        assert settings.countries == {"CA", "GB", "US"}
        assert settings.quiet_hours == QuietHours(time(21), time(8))
        assert settings.policy == Policy(
            rate=Rate(1, Fraction(2)),
            cooldown_ms=0,
            record_ms=86_400_000,
            call_rate=Rate(3, Fraction(1)),
            max_codes_per_day=1,
            max_calls_per_week=2,
            range_codes_per_hour=0,
            max_wrong_codes=5,
            country_codes_per_hour=7,
            people_codes_per_day=8,
            requester_codes_per_hour=9,
            requester_codes_per_day=0,
            breaker_percent=0,
            breaker_codes=10,
            countries=("CA", "GB", "US"),
            quiet_hours="21:00-08:00",
            test_numbers=("+15005550006",),
        )
        assert (settings.test, settings.test_numbers_live) == ("real", True)
        assert settings.plivo_base_url == "http://127.0.0.1:8077/v1"
        assert settings.plivo_auth_token is not None
        assert settings.plivo_auth_token.get_secret_value() == AUTH_TOKEN

    @pytest.mark.parametrize("nothing", ["", " ", "\t\n"])
    def test_an_empty_variable_counts_as_absent(self, nothing):
        assert Settings.read(dict.fromkeys(Settings.variables(), nothing)) == Settings.read({})
        assert set(problems(dict.fromkeys(Settings.variables(), nothing), worker=True)) == set(CREDENTIALS)

    def test_the_newline_at_the_end_of_a_secrets_file_is_not_part_of_the_value(self):
        settings = Settings.read({name: f"{value}\n" for name, value in CREDENTIALS.items()}, worker=True)

        assert settings == Settings.read(CREDENTIALS, worker=True)

    def test_other_variables_are_not_read(self):
        class Ours(Mapping):
            read: set[str] = set()  # noqa: RUF012  # of this one test

            def __getitem__(self, name):
                self.read.add(name)
                raise KeyError(name)

            def __iter__(self):
                raise AssertionError("read all variables")

            def __len__(self):
                return 1

        Settings.read(Ours())

        assert Ours.read == {*Settings.variables(), *USUAL_PROXY, *USUAL_NO_PROXY, *USUAL_CA_BUNDLE}

    def test_the_settings_do_not_change(self):
        with pytest.raises(FrozenInstanceError):
            Settings.read({}).prefix = "other"

    def test_the_example_file_has_every_variable_with_its_default(self):
        example = dotenv_values(ROOT / ".env.example")
        settings = Settings.read({name: value or "" for name, value in example.items()})

        assert settings == Settings.read({}), "the values given there are the defaults"
        assert set(Settings.variables()) - set(example) == {"REDIS_URL"}

    def test_the_variables_are_complete(self):
        assert set(Settings.variables()) == set(WRONG) | {"REDIS_URL", "PLIVO_AUTH_TOKEN", *SECRET_FILES}


SECRET = f"whsec_{base64.b64encode(bytes(24)).decode()}"
WEBHOOK = {"RINGPROOF_WEBHOOK_URL": "https://app.example.com/hooks?key=1", "RINGPROOF_WEBHOOK_SECRETS": SECRET}
OF_PLIVO = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_AUTH_TOKEN": AUTH_TOKEN}


class TestWebhooks:
    @pytest.mark.parametrize("between", [",", ", ", " "])
    def test_are_signed_with_one_secret_or_with_two(self, between):
        other = f"whsec_{base64.b64encode(b'x' * 64).decode().rstrip('=')}"
        settings = Settings.read(
            OF_PLIVO | WEBHOOK | {"RINGPROOF_WEBHOOK_SECRETS": SECRET + between + other}, worker=True
        )

        assert [one.get_secret_value() for one in settings.webhook_secrets] == [SECRET, other]
        assert {SECRET, other} <= set(settings.secrets), "no log shows them"
        assert SECRET not in repr(settings)
        assert "key=1" not in repr(settings)

    @pytest.mark.parametrize(
        "secrets",
        [SECRET.removeprefix("whsec_"), "whsec_", "whsec_AAAA", f"{SECRET}!", f"whsec_{'A' * 100}", f"{SECRET} " * 3],
    )
    def test_have_secrets_of_a_length_that_nobody_guesses(self, secrets):
        found = problems(OF_PLIVO | WEBHOOK | {"RINGPROOF_WEBHOOK_SECRETS": secrets}, worker=True)

        assert "openssl rand -base64 32" in found["RINGPROOF_WEBHOOK_SECRETS"]

    def test_are_not_sent_without_a_secret(self):
        found = problems(OF_PLIVO | {"RINGPROOF_WEBHOOK_URL": "https://app.example.com/"}, worker=True)

        assert found.keys() == {"RINGPROOF_WEBHOOK_SECRETS"}
        assert "missing" in found["RINGPROOF_WEBHOOK_SECRETS"]

    @pytest.mark.parametrize(
        "url",
        [
            "http://app.example.com/", "ftp://app.example.com/", "https://", "https://user:pass@app.example.com/",
            "https://app.example.com/#part", "https://app.example.com/a b", "https://äpp.example.com/", "example.com",
        ],
    )  # fmt: skip
    def test_go_to_an_address_with_tls_and_without_a_login(self, url):
        assert "RINGPROOF_WEBHOOK_URL" in problems(OF_PLIVO | WEBHOOK | {"RINGPROOF_WEBHOOK_URL": url}, worker=True)

    @pytest.mark.parametrize("url", ["http://127.0.0.1:8000/hooks", "http://localhost/", "http://[::1]:1/"])
    def test_may_stay_on_this_machine_without_tls(self, url):
        settings = Settings.read(OF_PLIVO | WEBHOOK | {"RINGPROOF_WEBHOOK_URL": url}, worker=True)

        assert settings.webhook_url.get_secret_value() == url

    def test_go_to_a_private_address_if_that_is_allowed(self):
        private = OF_PLIVO | WEBHOOK | {"RINGPROOF_WEBHOOK_URL": "https://10.1.2.3/"}

        assert "RINGPROOF_WEBHOOK_ALLOW_PRIVATE=true" in problems(private, worker=True)["RINGPROOF_WEBHOOK_URL"]
        assert Settings.read(private | {"RINGPROOF_WEBHOOK_ALLOW_PRIVATE": "true"}, worker=True).webhook_allow_private

    def test_take_the_machines_proxy_and_not_plivos(self):
        proxies = {"PLIVO_PROXY": "http://of.plivo:1", "HTTPS_PROXY": "http://of.all:2"}
        settings = Settings.read(OF_PLIVO | WEBHOOK | proxies, worker=True)
        direct = Settings.read(OF_PLIVO | WEBHOOK | proxies | {"NO_PROXY": ".example.com"}, worker=True)

        assert settings.plivo_proxy.get_secret_value() == "http://of.plivo:1"
        assert settings.webhook_proxy.get_secret_value() == "http://of.all:2"
        assert direct.webhook_proxy is None

    def test_need_no_proxy_of_this_machine_to_be_right_while_there_is_no_address(self):
        environ = OF_PLIVO | {"HTTPS_PROXY": "socks5://wrong", "PLIVO_BASE_URL": "http://127.0.0.1:1/v1"}

        assert Settings.read(environ | {"PLIVO_AUTH_TOKEN": "sandbox"}, worker=True).webhook_proxy is None


class TestSecretFiles:
    @pytest.fixture
    def file(self, tmp_path):
        return tmp_path / "secret"

    @pytest.mark.parametrize("text", [AUTH_TOKEN, f"{AUTH_TOKEN}\n", f"\ufeff{AUTH_TOKEN}\r\n"])
    def test_have_the_secret_as_the_tools_of_any_system_write_it(self, file, text):
        file.write_bytes(text.encode())
        settings = Settings.read({"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_AUTH_TOKEN_FILE": str(file)}, worker=True)

        assert settings.plivo_auth_token.get_secret_value() == AUTH_TOKEN
        assert AUTH_TOKEN in settings.secrets

    def test_have_the_url_of_redis(self, file):
        file.write_text(f"redis://:{PASSWORD}@redis:6379/1\n")
        settings = Settings.read({"RINGPROOF_REDIS_URL_FILE": str(file), "REDIS_URL": "redis://another:6379/0"})

        assert settings.redis_url.get_secret_value() == f"redis://:{PASSWORD}@redis:6379/1"
        assert PASSWORD not in repr(settings)

    @pytest.mark.parametrize(
        ("url", "login"),
        [("redis://redis:6379/1", ""), ("rediss://shop@redis:6379/1", "shop"), ("unix:///run/redis.sock?db=1", "")],
    )
    @pytest.mark.parametrize("name", ["RINGPROOF_REDIS_URL", "REDIS_URL"])
    def test_have_the_password_of_redis_as_it_is(self, file, url, login, name):
        file.write_text("p@ss/w:rd?#%\n")
        settings = Settings.read({"RINGPROOF_REDIS_PASSWORD_FILE": str(file), name: url})
        scheme, rest = url.split("://")

        written = f"{scheme}://{login}:p%40ss%2Fw%3Ard%3F%23%25@{rest.removeprefix(login + '@')}"
        assert settings.redis_url.get_secret_value() == written
        assert "p@ss/w:rd?#%" in settings.secrets
        assert "p%40" not in settings.shown_redis_url

    def test_have_the_password_of_the_redis_here_if_there_is_no_url(self, file):
        file.write_text(PASSWORD)
        settings = Settings.read({"RINGPROOF_REDIS_PASSWORD_FILE": str(file)}, only=("redis_url",))

        assert settings.redis_url.get_secret_value() == f"redis://:{PASSWORD}@127.0.0.1:6379/0"

    @pytest.mark.parametrize("name", ["RINGPROOF_REDIS_URL", "REDIS_URL"])
    def test_with_a_password_do_not_stand_beside_a_url_with_one(self, file, name):
        file.write_text(PASSWORD)
        found = problems({"RINGPROOF_REDIS_PASSWORD_FILE": str(file), name: "redis://:another@redis:6379/0"})

        assert found == {"RINGPROOF_REDIS_PASSWORD_FILE": f"{name} has a password, too; leave it out of the URL"}

    def test_with_the_password_of_redis_are_needed_by_a_producer_too(self, file):
        assert problems({"RINGPROOF_REDIS_PASSWORD_FILE": str(file)}) == {
            "RINGPROOF_REDIS_PASSWORD_FILE": "the file cannot be read (No such file or directory)"
        }

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (None, "the file cannot be read (No such file or directory)"),
            (b"", "the file is empty"),
            (b" \n", "the file is empty"),
            (b"first\nsecond\n", "the file has more than one line"),
            (b"x" * 100_000, "the file has more than one line"),
            (b"\xff\xfe", "the file is no text in UTF-8"),
        ],
    )
    @pytest.mark.parametrize("name", SECRET_FILES)
    def test_that_are_wrong_are_named_without_what_is_in_them(self, file, name, content, problem):
        if content is not None:
            file.write_bytes(content)
        others = {key: value for key, value in CREDENTIALS.items() if key != SECRET_FILES[name]}

        assert problems(others | {name: str(file)}, worker=True) == {name: problem}

    def test_are_no_folders_and_no_pipes(self, tmp_path, file):
        os.mkfifo(file)

        for path in (tmp_path, file):
            assert problems({"RINGPROOF_REDIS_URL_FILE": str(path)})["RINGPROOF_REDIS_URL_FILE"].startswith(
                ("it is no ordinary file", "the file cannot be read")
            )

    def test_do_not_stand_beside_the_variable_itself(self, file):
        file.write_text(AUTH_TOKEN)
        found = problems(CREDENTIALS | {"PLIVO_AUTH_TOKEN_FILE": str(file)}, worker=True)

        assert found == {"PLIVO_AUTH_TOKEN_FILE": "PLIVO_AUTH_TOKEN is set, too; set one of them"}

    def test_with_the_token_may_be_closed_to_a_producer(self, file):
        assert Settings.read({"PLIVO_AUTH_TOKEN_FILE": str(file)}).plivo_auth_token is None


class TestProblems:
    def test_are_reported_all_at_once_each_by_its_variable(self):
        reported = problems(WRONG, worker=True)

        assert set(reported) == set(WRONG) | {"PLIVO_AUTH_TOKEN"}

    def test_are_reported_without_a_value_and_without_the_words_of_a_library(self):
        with pytest.raises(Misconfigured) as caught:
            Settings.read(WRONG)
        error = caught.value
        shown = f"{error} {error!r} {error.__context__} {error.__cause__}"

        assert PASSWORD not in shown
        assert not any(value in shown for value in WRONG.values())
        assert not any(word in shown for word in ("ValueError", "in this form", "in this range", "pattern"))
        assert error.message == "; ".join(error.problems)

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            ("RINGPROOF_PREFIX", ["a b", "a:b", "{a}", "a" * 33, "präfix", "a*"]),
            ("RINGPROOF_REPLICAS", ["-1", "10", "one", "0.5", "all"]),
            ("RINGPROOF_REGION", ["UK", "USA", "U", "1", "001", "ZZ", "ıt"]),
            ("RINGPROOF_LOG_FORMAT", ["JSON", "xml", "true"]),
            ("RINGPROOF_TEST", ["yes", "1", "eager,real", "no"]),
            ("RINGPROOF_IN_DOUBT", ["RESEND", "wait", "false"]),
            ("RINGPROOF_REVERIFY_AFTER_DAYS", ["0", "-1", "3651", "90d", "1.5"]),
            ("RINGPROOF_REVERIFY_MODE", ["CHECK", "text", "true"]),
            ("RINGPROOF_RATE", ["0/7s", "300", "300/5", "300/m", "-1/1s", "nan/1s", "1e3/1s", "1/1s/2"]),
            ("RINGPROOF_RESEND_COOLDOWN_SECONDS", ["-1", "86401", "1.5", "1e2", "60s", "nan", "9" * 5000]),
            ("RINGPROOF_CALL_RATE", ["0/1s", "2", "2/s", "120/m", "off"]),
            ("RINGPROOF_MAX_CODES_PER_DAY", ["0", "-1", "11", "2.5", "five", "off"]),
            ("RINGPROOF_MAX_CALLS_PER_WEEK", ["0", "-1", "11", "ten"]),
            ("RINGPROOF_RANGE_CODES_PER_HOUR", ["-1", "10001", "0.5", "off"]),
            ("RINGPROOF_MAX_WRONG_CODES", ["0", "-1", "101", "2.5", "off"]),
            ("RINGPROOF_COUNTRIES", ["UK", "USA", "US,UK", "US GB", "US;GB", "US,", ",", "001", "none", "+1", "ıt,US"]),
            ("RINGPROOF_COUNTRIES", ["+88", "881", "+8816", "personal", "Personal,personal", "all personal"]),
            ("RINGPROOF_COUNTRY_CODES_PER_HOUR", ["-1", "1000001", "1,000", "none"]),
            ("RINGPROOF_PEOPLE_CODES_PER_DAY", ["-1", "10000001", "20k", "off"]),
            ("RINGPROOF_REQUESTER_CODES_PER_HOUR", ["-1", "10001", "0.5", "off"]),
            ("RINGPROOF_REQUESTER_CODES_PER_DAY", ["-1", "100001", "0.5", "off"]),
            ("RINGPROOF_BREAKER_PERCENT", ["-1", "91", "10%", "0.1", "off"]),
            ("RINGPROOF_BREAKER_CODES", ["0", "9", "1001", "1e2"]),
            ("RINGPROOF_QUIET_HOURS", ["25:99", "21-8", "08:00-08:00", "21:00-24:00", "21:00–08:00", "off", "night"]),
            ("RINGPROOF_RECORD_DAYS", ["0", "-1", "3651", "90 days"]),
            ("PLIVO_AUTH_ID", [AUTH_ID[:-1], AUTH_ID + "X", AUTH_ID.lower(), "XX" + AUTH_ID[2:], AUTH_ID[:-1] + "/"]),
        ],
    )
    def test_are_found_in_every_variable_and_the_error_names_the_right_values(self, name, wrong):
        reported = [problems({name: value}) for value in wrong]

        assert [set(one) for one in reported] == [{name}] * len(wrong)
        assert len({one[name] for one in reported}) == 1, "the text does not depend on the value"

    @pytest.mark.parametrize("token", ["tok\ten", "tok\nen", "to ken", '"token"', "'token'", "tökén", "tok\0en"])
    def test_are_found_in_a_token_that_no_header_could_have(self, token):
        found = problems(CREDENTIALS | {"PLIVO_AUTH_TOKEN": token}, worker=True)

        assert set(found) == {"PLIVO_AUTH_TOKEN"}
        assert token not in str(found)
        assert Settings.read({"PLIVO_AUTH_TOKEN": token}).plivo_auth_token is not None, "a producer does not use it"

    @pytest.mark.parametrize(
        "url",
        [
            "https://127.0.0.1:8077/v1",
            "https://api.plivo.com/v1",
            "http://127.0.0.1:8077/v1",
            "http://localhost/v1",
            "http://[::1]:8077/v1",
        ],
    )
    def test_do_not_include_a_base_url_with_https_or_of_this_machine(self, url):
        assert Settings.read({"PLIVO_BASE_URL": url}).plivo_base_url == url

    @pytest.mark.parametrize(
        "url",
        [
            "http://api.plivo.com/v1",
            "http://127.0.0.1.example/v1",
            "http://127.0.0.1@example.com/v1",
            "http://localhost@example.com/v1",
            "https://user:s3cret@api.plivo.com/v1",
            "https://",
            "https:///v1",
            "api.plivo.com/v1",
            "ftp://127.0.0.1/v1",
            "https://api.plivo.com:99999/v1",
            "https://api.plivo.com/v1?key=s3cret",
            "https://api.plivo.com/v1#s3cret",
            "https://api .plivo.com/v1",
            "https://[::1/v1",
            "https://\u2100.example/v1",
        ],
    )
    def test_include_any_other_base_url_without_showing_it(self, url):
        reported = problems({"PLIVO_BASE_URL": url})

        assert set(reported) == {"PLIVO_BASE_URL"}
        assert "https://" in reported["PLIVO_BASE_URL"]
        assert "s3cret" not in reported["PLIVO_BASE_URL"]


class TestTheWayToPlivo:
    @pytest.mark.parametrize(
        ("base_url", "token", "is_refused"),
        [
            ("http://127.0.0.1:8077/v1", "a1B2" * 10, True),
            ("HTTP://localhost:8077/v1", "a1B2" * 10, True),
            ("http://[::1]:8077/v1", "a1B2" * 10, True),
            ("http://127.0.0.1:8077/v1", "sandbox", False),
            ("http://127.0.0.1:8077/v1", AUTH_TOKEN, False),
            ("https://127.0.0.1:8077/v1", "a1B2" * 10, False),  # its certificate shows that it is the relay
            ("https://api.plivo.com/v1", "a1B2" * 10, False),
            ("", "a1B2" * 10, False),
        ],
    )
    def test_does_not_tell_a_real_token_to_any_program_of_this_machine(self, base_url, token, is_refused):
        environ = CREDENTIALS | {"PLIVO_BASE_URL": base_url, "PLIVO_AUTH_TOKEN": token}
        if not is_refused:
            assert Settings.read(environ, worker=True).plivo_auth_token
            return

        reported = problems(environ, worker=True)

        assert set(reported) == {"PLIVO_BASE_URL"}
        assert "PLIVO_AUTH_TOKEN=sandbox" in reported["PLIVO_BASE_URL"]
        assert token not in str(reported)

    @pytest.mark.parametrize("name", ["PLIVO_PROXY", *USUAL_PROXY])
    def test_leads_through_the_proxy_of_any_of_its_variables(self, name):
        settings = Settings.read(CREDENTIALS | {name: "proxy.example:3128"}, worker=True)

        assert str(settings.proxy) == "proxy.example:3128"

    def test_takes_our_variable_before_all_others(self):
        others = dict.fromkeys((*USUAL_PROXY, *USUAL_CA_BUNDLE), "socks5://wrong") | {"NO_PROXY": "*"}
        ours = {"PLIVO_PROXY": "http://ours:1", "PLIVO_CA_BUNDLE": certifi.where()}
        settings = Settings.read(CREDENTIALS | others | ours, worker=True)

        assert (str(settings.proxy), settings.plivo_ca_bundle) == ("ours:1", certifi.where())

    @pytest.mark.parametrize(
        "environ",
        [
            {"NO_PROXY": "plivo.com"},
            {"no_proxy": "*"},
            {"PLIVO_BASE_URL": "http://127.0.0.1:8077/v1", "PLIVO_PROXY": "http://proxy:1"},
        ],
    )
    def test_leads_through_none_where_none_is_wanted_and_what_is_unused_may_have_any_value(self, environ):
        unusable = dict.fromkeys(USUAL_PROXY, "socks5://proxy:1")

        assert Settings.read(CREDENTIALS | unusable | environ, worker=True).proxy is None

    @pytest.mark.parametrize("name", ["PLIVO_PROXY", *USUAL_PROXY])
    @pytest.mark.parametrize(
        "wrong",
        [
            f"https://user:{PASSWORD}@proxy:3128",
            f"socks5://user:{PASSWORD}@proxy:1080",
            f"socks5h://user:{PASSWORD}@proxy:1080",
            f"http://user:a/{PASSWORD}@proxy:3128",
            f"http://user:a#{PASSWORD}@proxy:3128",
            f"http://user:a?{PASSWORD}@proxy:3128",
            f"http://user:{PASSWORD}@proxy:0",
            f"http://user:{PASSWORD}@proxy:99999",
            f"http://user:{PASSWORD}@",
            f"http://user:{PASSWORD}@pro xy",
            "http://[::1",
            "http://:3128",
        ],
    )
    def test_through_a_wrong_proxy_is_a_workers_problem_alone_and_is_named_without_a_value(self, name, wrong):
        reported = problems(CREDENTIALS | {name: wrong}, worker=True)

        assert set(reported) == {name}
        assert "socks5:// are not supported" in reported[name]
        assert PASSWORD not in str(reported)
        assert Settings.read({name: wrong}), "a web app needs no way to Plivo"

    @pytest.mark.parametrize("name", ["PLIVO_CA_BUNDLE", *USUAL_CA_BUNDLE])
    def test_with_a_bundle_that_is_no_bundle_is_a_workers_problem_alone(self, name, tmp_path):
        wrong = {kind: tmp_path / kind for kind in ("missing", "empty", "no certificate", "binary", "folder")}
        wrong["empty"].touch()
        wrong["no certificate"].write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        wrong["binary"].write_bytes(bytes(range(256)))
        wrong["folder"].mkdir()

        for path in wrong.values():
            assert set(problems(CREDENTIALS | {name: str(path)}, worker=True)) == {name}
            assert Settings.read({name: str(path)})

    def test_with_a_bundle_is_found_as_file_and_as_folder(self, tmp_path):
        (tmp_path / "0a775a30.0").write_text(Path(certifi.where()).read_text())

        for path in (certifi.where(), str(tmp_path)):
            assert Settings.read(CREDENTIALS | {"SSL_CERT_FILE": path}, worker=True).plivo_ca_bundle == path


class TestRedis:
    @pytest.mark.parametrize(
        ("environ", "url"),
        [
            ({}, DEFAULT_REDIS_URL),
            ({"REDIS_URL": "redis://other"}, "redis://other"),
            ({"RINGPROOF_REDIS_URL": "redis://ours"}, "redis://ours"),
            ({"RINGPROOF_REDIS_URL": "redis://ours", "REDIS_URL": "redis://other"}, "redis://ours"),
            ({"RINGPROOF_REDIS_URL": "", "REDIS_URL": "redis://other"}, "redis://other"),
            ({"RINGPROOF_REDIS_URL": "redis://ours", "REDIS_URL": "not even a URL"}, "redis://ours"),
        ],
    )
    def test_is_found_by_our_variable_then_by_redis_url_then_on_this_machine(self, environ, url):
        assert Settings.read(environ).redis_url.get_secret_value() == url

    @pytest.mark.parametrize("name", ["RINGPROOF_REDIS_URL", "REDIS_URL"])
    def test_is_reported_as_wrong_by_the_variable_that_is_set(self, name):
        assert set(problems({name: "http://redis"})) == {name}

    @pytest.mark.parametrize(
        "url",
        [
            "redis://h",
            "redis://h/",
            "redis://h:6379/15",
            "rediss://h:6379/0",
            "redis://:p%40ss@h:6379/0",
            "redis://user:p@h",
            "redis://:p@ss@h:6379",
            "redis://[::1]:6379/0",
            "rediss://h/0?ssl_cert_reqs=required",
        ],
    )
    def test_takes_the_urls_that_redis_py_takes(self, url):
        assert redis_url(url) == url
        assert connect(url).connection_pool.connection_kwargs["host"] in {"h", "::1"}

    @pytest.mark.parametrize(
        "url",
        [
            "redis:",
            "redis://",
            "redis:///0",
            "h:6379",
            "unix:///tmp/redis.sock?db=a",
            "unix:///tmp/redis.sock?db=1&db=2",
            f"unix:///tmp/redis.sock?password={PASSWORD}",
            "unix://tmp/redis.sock",
            f"unix://:a/{PASSWORD}@/tmp/redis.sock",
            "unix:/tmp/redis.sock",
            "unix:///",
            "redis+socket:///tmp/redis.sock?db=1",
            "socket:///tmp/redis.sock",
            "http://h:6379",
            f"redis://h:{PASSWORD}",
            "redis://h:0",
            "redis://h:65536",
            f"redis://h/{PASSWORD}",
            "redis://h/0/1",
            "redis://h/٣",
            "redis://h /0",
            "redis://h/0\nx",
            f"redis://:a/{PASSWORD}@h:6379/0",
            f"redis://:a?{PASSWORD}@h:6379/0",
            f"redis://:a#{PASSWORD}@h:6379/0",
            f"redis://:a[{PASSWORD}@h:6379/0",
            f"redis://user:12/{PASSWORD}@h:6379/0",
            f"redis://user:12?{PASSWORD}@h:6379/0",
            f"redis://user:{PASSWORD};a@h:6379/0",
            f"redis://h/0?password={PASSWORD}",
            "redis://h/0?db=3",
            "redis://h/0?socket_timeout=60",
            "rediss://h/0?ssl_cert_reqs=cert_none",
            "rediss://h/0?ssl_cert_reqs=CERT_NONEXT",
            "redis://h/0?ssl_cert_reqs=CERT_NONE",
            "rediss://h/0?ssl_check_hostname=no",
            "redis://h/0?ssl_cert_reqs=none",
            "REDISS://h/0",
            f"redis://user:12#{PASSWORD}@h:6379/0",
            f"redis://:\u2100{PASSWORD}@h:6379/0",
        ],
    )
    def test_refuses_any_other_url_and_shows_no_part_of_it(self, url):
        with pytest.raises(Misconfigured) as caught:
            redis_url(url)
        shown = f"{caught.value} {caught.value!r}"

        assert "redis://:PASSWORD@HOST:PORT/0" in shown
        assert "unix://:PASSWORD@/PATH?db=0" in shown
        assert "write % / ? # [ ] ; as %25 %2F %3F %23 %5B %5D %3B" in shown
        assert PASSWORD not in shown
        assert "\u2100" not in shown

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://h:6379/0", "redis://h:6379/0"),
            (f"redis://:{PASSWORD}@h:6379/0", "redis://:•••@h:6379/0"),
            (f"rediss://user:{PASSWORD}@h/2", "rediss://user:•••@h/2"),
            (f"redis://{PASSWORD}@h:6379", "redis://•••@h:6379"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
            (f"redis+socket://:{PASSWORD}@/run/redis.sock?virtual_host=1", "unix://:•••@/run/redis.sock"),
            (f"redis://:a@{PASSWORD}@h", "redis://:•••@h"),
            ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ],
    )
    def test_is_shown_with_its_password_masked(self, url, shown):
        assert Settings.read({"RINGPROOF_REDIS_URL": url}).shown_redis_url == shown


class TestSecrets:
    def test_are_in_no_repr(self):
        urls = {"REDIS_URL": f"redis://:{PASSWORD}@h", "PLIVO_PROXY": f"http://u:{PASSWORD}@h"}
        settings = Settings.read(CREDENTIALS | urls, worker=True)
        shown = f"{settings} {settings!r}"

        assert not any(secret in shown for secret in (PASSWORD, AUTH_TOKEN, AUTH_ID))

    @pytest.mark.parametrize(
        ("environ", "secrets"),
        [
            ({}, ()),
            ({"REDIS_URL": "redis://h"}, ()),
            (CREDENTIALS, (AUTH_TOKEN,)),
            ({"REDIS_URL": "redis://:p%40ss@h"}, ("p%40ss", "p@ss")),
            (CREDENTIALS | {"REDIS_URL": "redis://u:short@h"}, (AUTH_TOKEN, "short")),
            ({"PLIVO_PROXY": "http://u:p%40ss@h"}, ("p%40ss", "p@ss")),
            ({"HTTPS_PROXY": "u:p%40ss@h:1"}, ("p%40ss", "p@ss")),
            ({"HTTPS_PROXY": "socks5://u:s3cret@h:1"}, ("s3cret",)),
        ],
    )
    def test_are_listed_for_the_log_filter_as_written_and_decoded(self, environ, secrets):
        assert Settings.read(environ).secrets == secrets


class TestTheSecretsOfWebhooks:
    @pytest.mark.parametrize("size", [24, 25, 26, 32, 64])
    @pytest.mark.parametrize("padding", ["=", ""])
    def test_have_24_to_64_bytes_padded_or_not(self, size, padding):
        secret = "whsec_" + base64.b64encode(os.urandom(size)).decode().rstrip("=" if not padding else "")
        (read,) = Settings.read(WEBHOOK_URL | {"RINGPROOF_WEBHOOK_SECRETS": secret}).webhook_secrets

        assert read.get_secret_value() == secret
        assert Webhook(secret).sign("evt_1", datetime.now(UTC), "{}")

    @pytest.mark.parametrize("secret", ["whsec_", "whsec_MDEyMw==", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "whsec_*" * 9])
    def test_are_refused_if_they_are_none(self, secret):
        with pytest.raises(Misconfigured, match="openssl rand") as caught:
            Settings.read(CREDENTIALS | WEBHOOK_URL | {"RINGPROOF_WEBHOOK_SECRETS": secret}, worker=True)

        assert secret not in str(caught.value) or secret == "whsec_"
