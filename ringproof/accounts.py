"""The accounts at Plivo that one installation serves beside its own: their credentials, their pace, their Redis.

A TOML file names them, or a function of the user's program. Both are read again while processes run:

    [acme]
    auth_id = "MAXXXXXXXXXXXXXXXXXX"
    auth_token_file = "/run/secrets/acme"
    rate = "300/5s"
    countries = "US,CA"
"""

import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ringproof.errors import InvalidRequest, Misconfigured, UnknownAccount
from ringproof.phone.masking import mask_value, redact
from ringproof.policy import Policy
from ringproof.settings import Settings
from ringproof.settings.shared import USUAL_CA_BUNDLE, USUAL_NO_PROXY, USUAL_PROXY
from ringproof.settings.variable import FUNCTION

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
"""The name of an account. It stands in keys of Redis, in the ids of results, and in labels of metrics."""

NAME_SHAPE: Final = "1 to 32 small letters, digits, - or _, the first one a letter or a digit"

POLICY: Final = (
    *("rate", "call_rate", "resend_cooldown_seconds", "max_codes_per_day", "max_calls_per_week", "record_days"),
    *("range_codes_per_hour", "max_wrong_codes", "country_codes_per_hour", "people_codes_per_day"),
    *("requester_codes_per_hour", "requester_codes_per_day", "breaker_percent", "breaker_codes"),
    *("countries", "quiet_hours", "in_doubt", "reverify_after_days", "reverify_mode"),
)
"""The settings of the installation that an account may have otherwise."""

FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "auth_id": "PLIVO_AUTH_ID",
        "auth_token": "PLIVO_AUTH_TOKEN",
        "auth_token_file": "PLIVO_AUTH_TOKEN_FILE",
        "base_url": "PLIVO_BASE_URL",
        "ledger": "RINGPROOF_REDIS_URL",
        "ledger_file": "RINGPROOF_REDIS_URL_FILE",
    }
    | {name: f"RINGPROOF_{name.upper()}" for name in POLICY}
)
"""The fields of an account, each with the variable whose values it takes."""

LOOK_SECONDS: Final = 1.0
"""How often a file is looked at while accounts are used."""

CALL_SECONDS: Final = 10.0
"""How often a function is called while accounts are used: it may ask a database."""

LARGEST: Final = 16 << 20
"""Bytes of a file. A thousand accounts have 200 KB."""

_OWN: Final = (
    *("PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN", "PLIVO_AUTH_TOKEN_FILE"),
    *("RINGPROOF_WEBHOOK_URL", "RINGPROOF_WEBHOOK_SECRETS", "RINGPROOF_WEBHOOK_SECRETS_FILE"),
)
"""The variables of the installation that no account has from it."""

_REDIS: Final = ("RINGPROOF_REDIS_URL", "REDIS_URL", "RINGPROOF_REDIS_URL_FILE", "RINGPROOF_REDIS_PASSWORD_FILE")
_FILES: Final = ("auth_token_file", "ledger_file")
_READ: Final = frozenset(
    (
        *(*POLICY, "redis_url", "prefix", "region", "test_numbers", "test_numbers_live"),
        *("plivo_auth_id", "plivo_auth_token", "plivo_base_url", "plivo_proxy", "no_proxy", "plivo_ca_bundle"),
    )
)
_MISSING: Final = "missing; a worker needs it to ask Plivo"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """One account. What it does not name, it has from the installation, except the credentials.

    `settings` are the installation's with the account's own: `plivo_auth_id`, `plivo_auth_token`, `plivo_base_url`,
    `redis_url` and the policy's. A producer may be without credentials.
    """

    name: str
    settings: Settings

    @property
    def policy(self) -> Policy:
        """The policy that the workers write into the account's ledger."""
        return self.settings.policy


def check_name(name: object) -> str:
    """Return the name of an account as it is. Raises `InvalidRequest` if no account can have it."""
    if isinstance(name, str) and NAME.fullmatch(name):
        return name
    raise InvalidRequest("account", mask_value(name), f"the name of an account: {NAME_SHAPE}")


class Accounts:
    """The accounts of one process, read again when they change. Thread-safe.

        accounts = Accounts("/etc/ringproof/accounts.toml", os.environ, worker=True)
        accounts.current()["acme"].policy
        accounts.get("acme")

    The first read raises `Misconfigured` with all faults at once. If a later one finds faults, they are logged, and the
    accounts stay those of before.
    """

    def __init__(self, source: str, environ: Mapping[str, str], *, worker: bool) -> None:
        self.source = source
        known = {*Settings.variables(), *USUAL_PROXY, *USUAL_NO_PROXY, *USUAL_CA_BUNDLE}
        self._environ = {variable: value for variable, value in environ.items() if variable in known}
        self._worker = worker
        self._is_function = bool(FUNCTION.fullmatch(source))
        self._lock = threading.Lock()
        self._looks_again_at = 0.0
        self._stamp: object = None
        self._sections: Mapping[str, Mapping[str, Any]] = {}
        self._accounts: Mapping[str, Account] | None = None
        self._files: dict[str, tuple[float, object]] = {}
        self._faults: tuple[str, ...] = ()

    def current(self) -> Mapping[str, Account]:
        """Return all accounts by name. Raises `Misconfigured` if they could never be read."""
        if self._accounts is None:
            with self._lock:
                if self._accounts is None:
                    self._read_first()
        elif time.monotonic() >= self._looks_again_at and self._lock.acquire(blocking=False):
            try:
                self._look_again()
            finally:
                self._lock.release()
        assert self._accounts is not None  # noqa: S101  # or _read_first has raised
        return self._accounts

    def get(self, name: str) -> Account:
        """Return an account, with its token as the file of it has it now. Raises `UnknownAccount`."""
        account = self.current().get(check_name(name))
        if account is None:
            from difflib import get_close_matches  # noqa: PLC0415  # few names have a typing error

            raise UnknownAccount(name, next(iter(get_close_matches(name, self.current(), n=1)), ""))
        section = self._sections.get(name, {})
        if any(file in section for file in _FILES):
            return self._with_new_secrets(account, section)
        return account

    def _read_first(self) -> None:
        self._looks_again_at = time.monotonic() + self._rest
        self._stamp = None if self._is_function else _stamp(self.source)
        sections = self._load()
        self._accounts, self._sections = self._checked(sections, {}), sections

    def _look_again(self) -> None:
        self._looks_again_at = time.monotonic() + self._rest
        stamp = None if self._is_function else _stamp(self.source)
        if not self._is_function and stamp == self._stamp:
            return
        try:
            sections = self._load()
            if sections != self._sections:
                self._accounts, self._sections = self._checked(sections, self._accounts or {}), sections
                _log.info("the accounts were read again: %d", len(sections))
            self._faults = ()
        except Misconfigured as error:
            if error.problems != self._faults:
                _log.error("the accounts stay those of before: %s", error.message)
            self._faults = error.problems
        self._stamp = stamp

    @property
    def _rest(self) -> float:
        return CALL_SECONDS if self._is_function else LOOK_SECONDS

    def _load(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the fields of each account as they are written. Raises `Misconfigured`."""
        found = self._call() if self._is_function else self._parse()
        if not isinstance(found, Mapping):
            raise Misconfigured(f"{self.source}: it returned no mapping of names to fields")
        problems = []
        for name, section in found.items():
            shown = mask_value(name)
            if not isinstance(name, str) or not NAME.fullmatch(name):
                problems.append(f"{self.source}: {shown} is no name of an account: {NAME_SHAPE}")
            elif not isinstance(section, Mapping):
                problems.append(f"{self.source}: {name}: write it as a table: [{name}]")
        if problems:
            raise Misconfigured(*problems)
        return {name: dict(section) for name, section in found.items()}

    def _parse(self) -> Any:
        import tomllib  # noqa: PLC0415  # most installations have one account

        try:
            with Path(self.source).open("rb") as file:
                content = file.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise Misconfigured(f"{self.source}: it is larger than {LARGEST >> 20} MB; it is another file")
            return tomllib.loads(content.decode("utf-8-sig"))
        except OSError as error:
            raise Misconfigured(f"{self.source}: the file cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise Misconfigured(f"{self.source}: the file is no text in UTF-8") from None
        except tomllib.TOMLDecodeError as error:
            # The reason may quote a character of a token, and no more; where it is helps.
            where = re.search(r"\(at [^)]*\)$", str(error))
            raise Misconfigured(f"{self.source}: the file is no TOML {where[0] if where else ''}".rstrip()) from None

    def _call(self) -> Any:
        module, _, name = self.source.partition(":")
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))  # as Celery does for the modules that -I names
        try:
            function: Callable[[], Any] = getattr(import_module(module), name)
            return function()
        except Exception as error:  # noqa: BLE001  # it is the user's own code
            raise Misconfigured(f"{self.source}: it raised {type(error).__name__}: {redact(str(error))}") from None

    def _checked(self, sections: Mapping[str, Mapping[str, Any]], before: Mapping[str, Account]) -> dict[str, Account]:
        """Return the accounts of these fields. Those that have not changed are the same objects as before."""
        problems: list[str] = []
        accounts = {}
        for name, section in sections.items():
            if name in before and section == self._sections.get(name):
                accounts[name] = before[name]
                continue
            try:
                accounts[name] = self._account(name, section)
            except Misconfigured as error:
                problems += error.problems
        if problems := problems or self._doubled(accounts):
            raise Misconfigured(*problems)
        return accounts

    def _doubled(self, accounts: Mapping[str, Account]) -> list[str]:
        """Return what is wrong where two accounts are one at Plivo: they would use its pace twice."""
        names: dict[str, str] = {}
        if own := self._environ.get("PLIVO_AUTH_ID", "").strip():
            names[own] = "the installation's own account"
        problems = []
        for name, account in accounts.items():
            auth_id = account.settings.plivo_auth_id
            if auth_id and (other := names.setdefault(auth_id, name)) != name:
                problems.append(f"{self.source}: {name}: auth_id: that of {other}, too; one name for each account")
        return problems

    def _account(self, name: str, section: Mapping[str, Any]) -> Account:
        """Return one account. Raises `Misconfigured`, which names each wrong field and shows no value."""
        here = f"{self.source}: {name}"
        problems = [
            f"{here}: {str(field)[:32]}: there is no such field; they are {', '.join(FIELDS)}"
            for field in section
            if field not in FIELDS
        ]
        problems += [
            f"{here}: {field}: write it as a text, as in the environment"
            for field, value in section.items()
            if field in FIELDS and (isinstance(value, bool) or not isinstance(value, str | int))
        ]
        if problems:
            raise Misconfigured(*problems)
        own = {FIELDS[field]: str(value) for field, value in section.items()}
        left_out = {*_OWN, *(_REDIS if own.keys() & _REDIS else ())}
        environ = {variable: value for variable, value in self._environ.items() if variable not in left_out} | own
        try:
            return Account(name, Settings.read(environ, worker=self._worker, only=_READ))
        except Misconfigured as error:
            fields = {variable: field for field, variable in FIELDS.items()}
            for problem in error.problems:
                variable, _, text = problem.partition(": ")
                if variable in fields:
                    text = _MISSING if text.startswith("missing") else text
                    problems.append(f"{here}: {fields[variable]}: {text}")
            # What else is wrong is the installation's own, and its own settings say so.
            raise Misconfigured(*(problems or error.problems)) from None

    def _with_new_secrets(self, account: Account, section: Mapping[str, Any]) -> Account:
        """Return the account again if the file of its token has changed."""
        now = time.monotonic()
        looks_again_at, stamp = self._files.get(account.name, (0.0, None))
        if now < looks_again_at:
            return account
        new = [_stamp(str(section[file])) for file in _FILES if file in section]
        self._files[account.name] = (now + LOOK_SECONDS, new)
        if stamp is None or new == stamp:
            return account
        try:
            fresh = self._account(account.name, section)
        except Misconfigured as error:
            _log.error("account %s stays as before: %s", account.name, error.message)
            return account
        with self._lock:
            if self._accounts and self._sections.get(account.name) == section:
                self._accounts = {**self._accounts, account.name: fresh}
        _log.info("the secrets of account %s were read again", account.name)
        return fresh


def _stamp(path: str) -> object:
    """Return what changes with a file: another one may take its place, as Kubernetes does. None: there is none."""
    try:
        now = Path(path).stat()
    except OSError:
        return None
    return now.st_mtime_ns, now.st_size, now.st_ino
