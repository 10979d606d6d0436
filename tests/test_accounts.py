"""The accounts of an installation: read from a file or a function, checked as a whole, and read again."""

import logging
import pickle
import sys
import textwrap
from pathlib import Path

import pytest
from support.harness import AUTH_ID, AUTH_TOKEN, eventually

from ringproof import accounts as module
from ringproof import runtime
from ringproof.accounts import FIELDS, Accounts, check_name
from ringproof.errors import InvalidRequest, Misconfigured, UnknownAccount
from ringproof.ledger.role import Role
from ringproof.policy import Rate
from ringproof.settings import Settings

ACME, GLOBEX = "MAACMEACMEACMEACMEAC", "MAGLOBEXGLOBEXGLOBEX"
TOKEN = "t0ken-of-acme"
INSTALLATION = {
    "PLIVO_AUTH_ID": AUTH_ID,
    "PLIVO_AUTH_TOKEN": AUTH_TOKEN,
    "PLIVO_BASE_URL": "https://plivo.example/v1",
    "RINGPROOF_COUNTRIES": "US",
    "RINGPROOF_REDIS_URL": "redis://one.example/0",
}


@pytest.fixture
def file(tmp_path):
    """Writes the accounts' file, as an operator does, and returns its path."""
    path = tmp_path / "accounts.toml"

    def write(text):
        new = tmp_path / "accounts.new"
        new.write_text(textwrap.dedent(text))
        new.replace(path)
        return str(path)

    return write


def two(rate="300/5s"):
    return f"""
    [acme]
    auth_id = "{ACME}"
    auth_token = "{TOKEN}"
    rate = "{rate}"
    max_codes_per_day = 3
    ledger = "redis://:hunter2@two.example/1"

    [globex]
    auth_id = "{GLOBEX}"
    auth_token = "another-token"
    base_url = "https://globex.example/v1"
    countries = ""
    """


def read(source, worker=True):
    return Accounts(source, INSTALLATION, worker=worker)


class TestAnAccount:
    def test_has_its_own_values_and_else_those_of_the_installation(self, file):
        both = read(file(two())).current()
        acme, globex = both["acme"], both["globex"]

        assert acme.policy.rate == Rate.parse("300/5s")
        assert (acme.policy.max_codes_per_day, globex.policy.max_codes_per_day) == (3, 5)
        assert (acme.policy.countries, globex.policy.countries) == (("US",), ())
        assert acme.settings.redis_url.get_secret_value() == "redis://:hunter2@two.example/1"
        assert globex.settings.redis_url.get_secret_value() == "redis://one.example/0"
        assert acme.settings.plivo_base_url == "https://plivo.example/v1"
        assert globex.settings.plivo_base_url == "https://globex.example/v1"
        assert acme.settings.plivo_auth_token.get_secret_value() == TOKEN

    def test_never_has_the_credentials_of_the_installation(self, file):
        source = file("[acme]\nrate = '1/1s'\n")

        with pytest.raises(Misconfigured) as caught:
            read(source).current()
        assert caught.value.problems == (
            f"{source}: acme: auth_id: {module._MISSING}",
            f"{source}: acme: auth_token: {module._MISSING}",
        )
        assert read(source, worker=False).current()["acme"].settings.plivo_auth_id is None

    def test_takes_each_setting_of_the_policy_and_each_field_is_a_variable(self):
        assert set(FIELDS.values()) <= set(Settings.variables())

    @pytest.mark.parametrize("name", ["", "Acme", "-a", "a b", "a" * 33, "+14155550123", None, 7, "a:b", "a/b"])
    def test_has_a_name_that_fits_into_keys_and_ids(self, name):
        with pytest.raises(InvalidRequest) as caught:
            check_name(name)
        assert "55501" not in str(caught.value)

    def test_is_in_no_repr_with_its_secrets(self, file):
        shown = repr(read(file(two())).current())

        assert TOKEN not in shown
        assert "hunter2" not in shown
        assert ACME not in shown


class TestFaults:
    def test_are_named_all_at_once_by_file_account_and_field_and_show_no_value(self, file):
        source = file(f"""
        [acme]
        auth_id = "wrong{TOKEN}"
        auth_token = "{TOKEN} "
        rate = "many"
        colour = "blue"
        [globex]
        auth_id = "{GLOBEX}"
        auth_token = "it's"
        countries = ["US"]
        [initech]
        auth_id = "{GLOBEX}"
        auth_token_file = "/no/such/file"
        rate = "many"
        """)

        with pytest.raises(Misconfigured) as caught:
            read(source).current()
        named = {problem.removeprefix(f"{source}: ").split(":")[0:2][0] for problem in caught.value.problems}
        assert named == {"acme", "globex", "initech"}
        assert any("acme: colour: there is no such field" in one for one in caught.value.problems)
        assert any("globex: countries: write it as a text" in one for one in caught.value.problems)
        assert any("initech: auth_token: the file cannot be read" in one for one in caught.value.problems) or any(
            "initech: auth_token_file:" in one for one in caught.value.problems
        )
        assert any("initech: rate: write a rate" in one for one in caught.value.problems)
        assert TOKEN not in str(caught.value)

    def test_are_two_names_for_one_account_of_plivos_which_would_use_its_pace_twice(self, file):
        text = two().replace(GLOBEX, ACME)
        with pytest.raises(Misconfigured, match="globex: auth_id: that of acme, too"):
            read(file(text)).current()
        with pytest.raises(Misconfigured, match="acme: auth_id: that of the installation's own account"):
            read(file(two().replace(ACME, AUTH_ID))).current()

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (f'[acme]\nauth_token = "{TOKEN}', "is no TOML (at"),
            ("acme = 3", "acme: write it as a table"),
            ("['No Name']", "is no name of an account"),
        ],
    )
    def test_are_found_in_the_file_itself(self, text, said, file):
        with pytest.raises(Misconfigured) as caught:
            read(file(text)).current()
        assert said in str(caught.value)
        assert TOKEN not in str(caught.value)

    def test_include_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(Misconfigured, match="cannot be read"):
            read(str(tmp_path / "none.toml")).current()

    def test_of_an_unknown_name_are_an_error_with_the_nearest_one(self, file):
        with pytest.raises(UnknownAccount, match="did you mean acme") as caught:
            read(file(two())).get("acne")
        assert pickle.loads(pickle.dumps(caught.value)).nearest == "acme"


class TestAChangedFile:
    @pytest.fixture(autouse=True)
    def looks_at_once(self, monkeypatch):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)

    def test_is_read_again_and_what_did_not_change_is_the_same_object(self, file):
        accounts = read(file(two()))
        before = accounts.current()
        file(two(rate="60/5s"))
        after = accounts.current()

        assert after["acme"].policy.rate == Rate.parse("60/5s")
        assert after["globex"] is before["globex"]

    def test_that_is_wrong_changes_nothing_and_is_said_once(self, file, caplog):
        accounts = read(file(two()))
        before = accounts.current()
        with caplog.at_level(logging.INFO):
            file(two(rate="many"))
            assert accounts.current() is before
            assert accounts.current() is before
            Path(accounts.source).unlink()
            assert accounts.current() is before
            file(two(rate="60/5s"))
            assert accounts.current()["acme"].policy.rate == Rate.parse("60/5s")

        assert [one.levelname for one in caplog.records] == ["ERROR", "ERROR", "INFO"]
        assert "acme: rate" in caplog.text

    def test_of_a_token_is_read_again_too(self, file, tmp_path, caplog):
        token = tmp_path / "token"
        token.write_text("first\n")
        accounts = read(file(f'[acme]\nauth_id = "{ACME}"\nauth_token_file = "{token}"\n'))
        first = accounts.get("acme")
        assert accounts.get("acme") is first
        token.write_text("second!\n")
        second = accounts.get("acme")

        assert second.settings.plivo_auth_token.get_secret_value() == "second!"
        assert accounts.current()["acme"] is second
        token.unlink()
        assert accounts.get("acme") is second
        assert "account acme stays as before" in caplog.text
        token.write_text("third-one\n")
        assert accounts.get("acme").settings.plivo_auth_token.get_secret_value() == "third-one"


class TestAFunction:
    @pytest.fixture
    def program(self, tmp_path, monkeypatch):
        (tmp_path / "my_accounts.py").write_text(
            "found = {}\ndef all_of_them():\n    if isinstance(found.get('x'), Exception): raise found['x']\n"
            "    return found\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(module, "CALL_SECONDS", 0.0)
        yield __import__("my_accounts")
        del sys.modules["my_accounts"]

    def test_returns_the_accounts_and_is_called_again(self, program):
        accounts = read("my_accounts:all_of_them")
        assert accounts.current() == {}
        program.found["acme"] = {"auth_id": ACME, "auth_token": TOKEN, "max_codes_per_day": 2}
        assert accounts.current()["acme"].policy.max_codes_per_day == 2
        program.found["x"] = OSError("the database is away")
        assert list(accounts.current()) == ["acme"]

    def test_that_fails_is_a_fault_with_its_reason(self, program):
        program.found["x"] = OSError("no database at +14155550123")
        with pytest.raises(Misconfigured, match="it raised OSError: no database") as caught:
            read("my_accounts:all_of_them").current()
        assert "5550123" not in str(caught.value)
        with pytest.raises(Misconfigured, match="ModuleNotFoundError"):
            read("no_such_module:f").current()


class TestTheRuntime:
    @pytest.fixture(autouse=True)
    def environ(self, file, monkeypatch):
        monkeypatch.setenv("RINGPROOF_ACCOUNTS", file(two().replace("ledger =", "# ledger =")))
        monkeypatch.setenv("PLIVO_AUTH_ID", AUTH_ID)
        monkeypatch.setenv("PLIVO_AUTH_TOKEN", AUTH_TOKEN)
        monkeypatch.setattr(runtime, "role", Role.WORKER)
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
        runtime._accounts.cache_clear()
        yield
        runtime._accounts.cache_clear()

    def test_has_no_accounts_unless_they_are_named(self, monkeypatch):
        monkeypatch.delenv("RINGPROOF_ACCOUNTS", raising=False)

        assert runtime.accounts() == {}
        with pytest.raises(UnknownAccount):
            runtime.ledger("acme")

    def test_gives_each_account_its_own_keys_and_credentials_over_the_same_connections(self):
        acme, globex = runtime.ledger("acme"), runtime.ledger("globex")

        assert acme.keys.record("+14155550123") == "{ringproof:acme}:number:+14155550123"
        assert (acme.keys.account, runtime.ledger().keys.account) == ("acme", None)
        assert acme.client is globex.client is runtime.ledger().client
        assert len({acme.credentials, globex.credentials, runtime.ledger().credentials}) == 3
        assert runtime.ledger("acme") is acme
        assert runtime.plivo("acme") is runtime.plivo("acme") is not runtime.plivo("globex")

    def test_gives_an_account_with_another_token_another_ledger_and_client(self, file):
        before, client = runtime.ledger("acme"), runtime.plivo("acme")
        file(two().replace("ledger =", "# ledger =").replace(TOKEN, "rotated"))

        assert eventually(lambda: runtime.ledger("acme") is not before)
        assert runtime.ledger("acme").credentials != before.credentials
        assert runtime.plivo("acme") is not client
