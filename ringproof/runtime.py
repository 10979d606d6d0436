"""Builds settings, ledger and Plivo's client, once for each process, on first use and never at import.

A child process builds its own: it does not use what was built before the fork.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from ringproof.errors import LedgerUnavailable, Misconfigured, UnknownAccount
from ringproof.ledger.role import Role
from ringproof.secret_str import SecretStr
from ringproof.settings import Settings, test_mode, unknown

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from ringproof.accounts import Account, Accounts
    from ringproof.events.webhook import Webhook
    from ringproof.ledger.ledger import Ledger
    from ringproof.plivo.client import PlivoClient

role = Role.PRODUCER
"""What this process is, for the check of its rights in Redis: `worker.celery` and `worker.cli` set their own."""

asks_plivo = False
"""Whether this process cannot do without the credentials of accounts: a worker sets it."""

REGION: Final = "RINGPROOF_REGION"
COUNTRIES: Final = "RINGPROOF_COUNTRIES"
TEST_NUMBERS: Final = "RINGPROOF_TEST_NUMBERS"
ACCOUNTS: Final = "RINGPROOF_ACCOUNTS"


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a process has its settings from, in the place of its environment, and the clock that its scripts go by.

    `lua_clock` is a piece of Lua in the place of `lib/clock` (None: Redis' own time). Each origin has a ledger and
    clients of its own, so who puts another one here and takes it away again changes nothing of the first one's.

    With the further fields nothing leaves this process: `connect` and `connect_async` make the client of a Redis from
    its URL, `plivo` makes the client of Plivo for an account's settings, and `send_task` performs a message, with the
    arguments of Celery's own.
    """

    variables: Mapping[str, str]
    lua_clock: str | None = None
    connect: Callable[[str], "redis.Redis"] | None = None
    connect_async: Callable[[str], "redis.asyncio.Redis"] | None = None
    plivo: Callable[[Settings], "PlivoClient"] | None = None
    send_task: Callable[..., Any] | None = None


origin: Origin | None = None
"""None: the environment. `ringproof.testing` puts one here for as long as a test lasts."""


def current_origin() -> Origin | None:
    """Return where this process has its settings from; None: the environment.

    Begins the eager mode if `RINGPROOF_TEST` or the program's own Celery asks for it. Raises `Misconfigured` for
    another value of the variable, and `NotInstalled` without the packages of that mode.
    """
    if origin is None and test_mode.is_eager(os.environ):
        import_module("ringproof.testing.eager_mode").begin()
    return origin


def is_performed_at_once() -> bool:
    """Whether messages are performed by who sends them, so that no result is waited for: the eager mode of tests."""
    origin = current_origin()
    return origin is not None and origin.send_task is not None


def refuse_test_mode() -> None:
    """Raise `Misconfigured` if the environment of a worker or a command asks for the eager mode of tests."""
    if origin is None:
        test_mode.refuse_in_service(os.environ)


few_connections: int | None = None
"""How many connections to Redis a worker's threads share, where Redis is near. None: each thread has one."""


def settings(*, worker: bool = False, only: Collection[str] = ()) -> Settings:
    """Read the settings from the environment, those of a worker or of a producer, or just these fields.

    Raises `Misconfigured` with all problems at once.
    """
    return Settings.read(environment(), worker=worker, only=only)


def unknown_variables() -> Iterator[str]:
    """Yield a sentence for each `RINGPROOF_…` in the environment that is no setting, once a process."""
    yield from unknown.unknown_variables(environment())


def environment() -> Mapping[str, str]:
    """Return the environment, for who looks at it as a whole: the doctor names what is wrong in it, and goes on."""
    origin = current_origin()
    return os.environ if origin is None else origin.variables


def region() -> str | None:
    """Return the country of numbers that name none. Each `.delay` asks for it, so no other setting is read."""
    return _region(environment().get(REGION, ""))


def countries(account_name: str | None = None) -> frozenset[str]:
    """Return the list of countries of an account, or of the installation's own (None), as this process's settings say.

    That of the workers counts, which is in Redis. An empty one stands for all countries.
    """
    if account_name is not None:
        return account(account_name).settings.countries
    return _countries(environment().get(COUNTRIES, ""))


def test_numbers() -> Collection[str]:
    """Return the test numbers (E.164), as this process's settings say. Those of the workers are in Redis."""
    return _test_numbers(environment().get(TEST_NUMBERS, ""))


def has_accounts() -> bool:
    """Whether this installation may serve accounts beside its own."""
    return bool(environment().get(ACCOUNTS, "").strip())


def accounts() -> Mapping[str, "Account"]:
    """Return the accounts that this installation serves beside its own, by name; none without RINGPROOF_ACCOUNTS.

    They are read again while the process runs. Raises `Misconfigured` if they could never be read.
    """
    source = environment().get(ACCOUNTS, "").strip()
    return _accounts(os.getpid(), current_origin(), source).current() if source else {}


def account(name: str) -> "Account":
    """Return an account as it is now. Raises `UnknownAccount` if there is none, and `InvalidRequest` for no name."""
    source = environment().get(ACCOUNTS, "").strip()
    if source:
        return _accounts(os.getpid(), current_origin(), source).get(name)
    from ringproof.accounts import check_name  # noqa: PLC0415  # most installations have one account

    raise UnknownAccount(check_name(name))


def settings_of(account_name: str | None, *, worker: bool = False) -> Settings:
    """Return the settings of an account, or of the installation (None)."""
    return settings(worker=worker) if account_name is None else account(account_name).settings


def redis_url(account_name: str | None = None) -> SecretStr:
    """Return the URL of the Redis that keeps the ledger of an account, or of the installation's own (None)."""
    return settings_of(account_name).redis_url


def ledger(account: str | None = None) -> "Ledger":
    """Return this process's ledger of an account, or of the installation's own (None). It connects at its first call.

    An account has another ledger object once its credentials, its policy or its Redis are others: ask for it each
    time. Raises `UnknownAccount`.
    """
    return _ledger(os.getpid(), current_origin()) if account is None else _clients(account).ledger


def plivo(account: str | None = None) -> "PlivoClient":
    """Return this process's client of Plivo for an account, or for the installation's own (None).

    As with `ledger`, ask for it each time. Raises `Misconfigured` without Plivo's credentials, and `UnknownAccount`.
    """
    return _plivo(os.getpid(), current_origin()) if account is None else _clients(account).plivo


def webhook() -> "Webhook":
    """Return this process's way to the receiver of webhooks. Raises `Misconfigured` if none is configured."""
    return _webhook(os.getpid(), current_origin())


ORIGINS: Final = 8
"""Origins whose ledger and clients one process keeps: the environment's, and those of its tests."""


@lru_cache(maxsize=1)
def _region(written: str) -> str | None:
    return Settings.read({REGION: written}, only=("region",)).region


@lru_cache(maxsize=1)
def _countries(written: str) -> frozenset[str]:
    return Settings.read({COUNTRIES: written}, only=("countries",)).countries


@lru_cache(maxsize=1)
def _test_numbers(written: str) -> frozenset[str]:
    return frozenset(Settings.read({TEST_NUMBERS: written}, only=("test_numbers",)).test_numbers.numbers)


@lru_cache(maxsize=ORIGINS)
def _accounts(_pid: int, _origin: Origin | None, source: str) -> "Accounts":
    from ringproof.accounts import Accounts  # noqa: PLC0415  # most installations have one account

    settings(only=("accounts",))  # it may be no path
    return Accounts(source, dict(environment()), worker=asks_plivo)


@lru_cache(maxsize=64)
def _redis(_pid: int, origin: Origin | None, url: str) -> "redis.Redis":
    """Return the client of a Redis: all ledgers there share its connections."""
    if origin and origin.connect:
        return origin.connect(url)
    from ringproof.ledger.connection import connect  # noqa: PLC0415  # a healthcheck has no time for redis-py

    return connect(url, few=few_connections)


@lru_cache(maxsize=ORIGINS)
def _ledger(pid: int, origin: Origin | None) -> "Ledger":
    from ringproof.ledger.ledger import Ledger  # noqa: PLC0415  # a healthcheck has no time for redis-py

    current = settings()
    return Ledger(
        _redis(pid, origin, current.redis_url.get_secret_value()),
        prefix=current.prefix,
        shown_url=current.shown_redis_url,
        policy=current.policy,
        clock=origin.lua_clock if origin else None,
        role=role,
        replicas=current.replicas,
        credentials=_credentials(current),
    )


def _credentials(current: Settings) -> str:
    from ringproof.ledger.heartbeats import credentials_digest  # noqa: PLC0415  # a healthcheck has no time for it

    auth_id, auth_token = current.plivo_auth_id, current.plivo_auth_token
    return credentials_digest(auth_id, auth_token) if auth_id and auth_token else ""


class _Clients:
    """The ledger of one account and its client of Plivo, made when they are first used."""

    def __init__(self, account: "Account") -> None:
        self.account = account

    @cached_property
    def ledger(self) -> "Ledger":
        from ringproof.ledger.attention import AccountLedger  # noqa: PLC0415  # a healthcheck has no time for redis-py
        from ringproof.ledger.keys import Keys  # noqa: PLC0415

        own = self.account.settings
        return AccountLedger(
            _redis(os.getpid(), origin, own.redis_url.get_secret_value()),
            prefix=Keys.of_account(own.prefix, self.account.name).prefix,
            shown_url=own.shown_redis_url,
            policy=own.policy,
            clock=origin.lua_clock if origin else None,
            role=role,
            replicas=settings().replicas,
            credentials=_credentials(own),
            on_work=partial(_note_work, self.account.name),
        )

    @cached_property
    def plivo(self) -> "PlivoClient":
        own = self.account.settings
        if own.plivo_auth_id is None or own.plivo_auth_token is None:
            missing = "auth_id and auth_token: both are needed to ask Plivo for it"
            raise Misconfigured(f"account {self.account.name}: {missing}")
        return _client_of(own)


_noted: dict[str, float] = {}


def is_note_due(name: str) -> bool:
    """Whether this process has not noted for a second that an account has work. Then the caller notes it now."""
    from ringproof.ledger import attention  # noqa: PLC0415  # a healthcheck has no time for redis-py

    now = time.monotonic()
    if now - _noted.get(name, -attention.NOTE_SECONDS) < attention.NOTE_SECONDS:
        return False
    _noted[name] = now
    return True


def note_failed(name: str) -> None:
    """Have the next one who makes work for an account note it: Redis did not answer."""
    _noted.pop(name, None)


def _note_work(name: str) -> None:
    """Note in the installation's own ledger that an account has work, once a second at most.

    If that Redis is away nothing is lost: the account is visited again after a while, once it is noted.
    """
    from ringproof.ledger import attention  # noqa: PLC0415  # a healthcheck has no time for redis-py

    if is_note_due(name):
        try:
            attention.note(ledger(), name)
        except LedgerUnavailable:
            note_failed(name)


MOST_CLIENTS: Final = 2000
"""Accounts whose ledger and client one process keeps: of more, those used longest ago are made again."""

_clients_of: OrderedDict[tuple[int, Origin | None, str], _Clients] = OrderedDict()
_clients_lock = threading.Lock()


def _clients(name: str) -> _Clients:
    now, key = account(name), (os.getpid(), current_origin(), name)
    with _clients_lock:
        known = _clients_of.get(key)
        if known is None or known.account is not now:
            known = _clients_of[key] = _Clients(now)
        _clients_of.move_to_end(key)
        while len(_clients_of) > MOST_CLIENTS:
            _clients_of.popitem(last=False)
        return known


@lru_cache(maxsize=ORIGINS)
def _plivo(_pid: int, _origin: Origin | None) -> "PlivoClient":
    return _client_of(settings(worker=True))


def _client_of(current: Settings) -> "PlivoClient":
    if origin and origin.plivo:
        return origin.plivo(current)
    from ringproof.plivo.client import PlivoClient  # noqa: PLC0415  # a producer never loads requests

    assert current.plivo_auth_id is not None  # noqa: S101  # read(worker=True) has checked it
    assert current.plivo_auth_token is not None  # noqa: S101
    return PlivoClient(
        current.plivo_auth_id,
        current.plivo_auth_token,
        current.plivo_base_url,
        proxy=current.proxy,
        ca_bundle=current.plivo_ca_bundle,
    )


@lru_cache(maxsize=ORIGINS)
def _webhook(_pid: int, _origin: Origin | None) -> "Webhook":
    from ringproof.events.webhook import Webhook  # noqa: PLC0415  # few processes send webhooks
    from ringproof.network.proxy import Proxy  # noqa: PLC0415

    current = settings()
    if current.webhook_url is None or not current.webhook_secrets:
        missing = "RINGPROOF_WEBHOOK_URL and RINGPROOF_WEBHOOK_SECRETS"
        raise Misconfigured(f"{missing}: both are needed to send webhooks; docs/guide/webhooks.md says how")
    proxy = current.webhook_proxy
    return Webhook(
        current.webhook_url,
        current.webhook_secrets,
        proxy=Proxy.parse(proxy.get_secret_value()) if proxy else None,
        ca_bundle=current.webhook_ca_bundle,
        allow_private=current.webhook_allow_private,
    )
