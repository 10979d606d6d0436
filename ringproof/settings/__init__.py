"""The settings of a process, read from its environment. All problems are reported at once, by variable name.

They are read without pydantic: building its model of them takes 100 ms, longer than all that a healthcheck does.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from ringproof.errors import Misconfigured
from ringproof.network import ca_bundle, plivo_url, redis_url, webhook_address
from ringproof.network.proxy import SHAPE as PROXY_SHAPE
from ringproof.network.proxy import Proxy
from ringproof.phone import notations
from ringproof.policy import MOST_DAYS, Policy, Rate
from ringproof.secret_file import with_secrets
from ringproof.secret_str import SecretStr
from ringproof.settings import fixed_codes, test_mode
from ringproof.settings.fixed_codes import FixedCodes
from ringproof.settings.redis_login import DEFAULT_REDIS_URL, with_redis_password
from ringproof.settings.shared import USUAL_CA_BUNDLE, USUAL_NO_PROXY, USUAL_PROXY, without_unused
from ringproof.settings.variable import (
    Variable,
    cap,
    count,
    from_environment,
    matching,
    parse_accounts,
    parse_countries,
    parse_proxy_url,
    parse_quiet_hours,
    parse_redis_url,
    parse_region,
    parse_token,
    parse_webhook_secrets,
    parse_webhook_url,
    passwords_in,
    whole,
)

if TYPE_CHECKING:
    from ringproof.phone.quiet_hours import QuietHours

_USUAL = Policy()


@dataclass(frozen=True)
class Settings:
    """The settings of one process. `Settings.read(os.environ)` builds them; nothing else reads the environment.

    An error about a wrong value says which values are right, and shows no part of the value.
    """

    redis_url: SecretStr = from_environment(
        "RINGPROOF_REDIS_URL",
        "REDIS_URL",
        values=redis_url.SHAPES,
        parse=parse_redis_url,
        default=SecretStr(DEFAULT_REDIS_URL),
    )
    redis_url_file: str | None = from_environment(
        "RINGPROOF_REDIS_URL_FILE", values="the path of a file with the URL of Redis alone", default=None
    )
    redis_password_file: str | None = from_environment(
        "RINGPROOF_REDIS_PASSWORD_FILE", values="the path of a file with the password of Redis alone", default=None
    )
    prefix: str = from_environment(
        "RINGPROOF_PREFIX",
        values="1 to 32 letters, digits, or . _ -",
        parse=partial(matching, r"[A-Za-z0-9_.-]{1,32}"),
        default="ringproof",
    )
    accounts: str | None = from_environment(
        "RINGPROOF_ACCOUNTS",
        values="the absolute path of a TOML file, or module:function of a program of yours",
        parse=parse_accounts,
        default=None,
    )
    replicas: int | None = count("RINGPROOF_REPLICAS", "replicas", 0, 9, default=None)
    region: str | None = from_environment(
        "RINGPROOF_REGION",
        values="a country's two ISO 3166 letters, such as US or GB",
        parse=parse_region,
        default=None,
    )
    log_format: str = from_environment(
        "RINGPROOF_LOG_FORMAT", values="text or json", parse=partial(matching, "text|json"), default="text"
    )
    test: str | None = from_environment(
        test_mode.VARIABLE, values=test_mode.VALUES, parse=test_mode.check, default=None
    )
    test_numbers: FixedCodes = from_environment(
        fixed_codes.VARIABLE, values=fixed_codes.SHAPE, parse=FixedCodes.parse, default=FixedCodes(()), is_shown=False
    )
    test_numbers_live: bool = from_environment(
        fixed_codes.ALLOW_LIVE,
        values="yes or no",
        parse=lambda text: matching("yes|no", text) == "yes",
        default=False,
    )
    rate: Rate = from_environment(
        "RINGPROOF_RATE",
        values="write a rate as requests per seconds, such as 300/5s, 2/1s or 0.5/1s",
        parse=Rate.parse,
        default=_USUAL.rate,
    )
    call_rate: Rate = from_environment(
        "RINGPROOF_CALL_RATE",
        values="write a rate as calls per seconds, such as 2/1s or 0.5/1s",
        parse=Rate.parse,
        default=_USUAL.call_rate,
    )
    resend_cooldown_seconds: int = count("RINGPROOF_RESEND_COOLDOWN_SECONDS", "seconds", 0, 86_400, default=60)
    max_codes_per_day: int = count("RINGPROOF_MAX_CODES_PER_DAY", "codes", 1, 10, default=_USUAL.max_codes_per_day)
    max_calls_per_week: int = count("RINGPROOF_MAX_CALLS_PER_WEEK", "calls", 1, 10, default=_USUAL.max_calls_per_week)
    range_codes_per_hour: int = cap("RINGPROOF_RANGE_CODES_PER_HOUR", _USUAL.range_codes_per_hour, 10_000)
    max_wrong_codes: int = from_environment(
        "RINGPROOF_MAX_WRONG_CODES",
        values="a whole number of wrong codes, 1 to 100",
        parse=partial(whole, 1, 100),  # one guesser of 100 hits a code of four digits before the first lock
        default=_USUAL.max_wrong_codes,
    )
    country_codes_per_hour: int = cap("RINGPROOF_COUNTRY_CODES_PER_HOUR", _USUAL.country_codes_per_hour, 1_000_000)
    people_codes_per_day: int = cap("RINGPROOF_PEOPLE_CODES_PER_DAY", _USUAL.people_codes_per_day, 10_000_000)
    requester_codes_per_hour: int = cap("RINGPROOF_REQUESTER_CODES_PER_HOUR", _USUAL.requester_codes_per_hour, 10_000)
    requester_codes_per_day: int = cap("RINGPROOF_REQUESTER_CODES_PER_DAY", _USUAL.requester_codes_per_day, 100_000)
    breaker_percent: int = from_environment(
        "RINGPROOF_BREAKER_PERCENT",
        values="a whole number of percent, 1 to 90, or 0 for no breaker",
        parse=partial(whole, 0, 90),  # beyond it, people who mistype their number would open it
        default=_USUAL.breaker_percent,
    )
    breaker_codes: int = from_environment(
        "RINGPROOF_BREAKER_CODES",
        values="a whole number of codes, 10 to 1000",
        parse=partial(whole, 10, 1000),  # of fewer, chance says more than people
        default=_USUAL.breaker_codes,
    )
    countries: frozenset[str] = from_environment(
        "RINGPROOF_COUNTRIES", values=notations.COUNTRIES, parse=parse_countries, default=frozenset()
    )
    quiet_hours: "QuietHours | None" = from_environment(
        "RINGPROOF_QUIET_HOURS", values=notations.QUIET_HOURS, parse=parse_quiet_hours, default=None
    )
    in_doubt: str = from_environment(
        "RINGPROOF_IN_DOUBT", values="resend or hold", parse=partial(matching, "resend|hold"), default="resend"
    )
    reverify_after_days: int | None = from_environment(
        "RINGPROOF_REVERIFY_AFTER_DAYS",
        values="a whole number of days, 1 to 3650; empty for never",
        parse=partial(whole, 1, MOST_DAYS),
        default=None,
    )
    reverify_mode: str = from_environment(
        "RINGPROOF_REVERIFY_MODE", values="check or send", parse=partial(matching, "check|send"), default="check"
    )
    record_days: int = count("RINGPROOF_RECORD_DAYS", "days", 1, 3650, default=90)
    door_rate: Rate = from_environment(
        "RINGPROOF_DOOR_RATE",
        values="write a rate as requests per seconds, such as 300/1s",
        parse=Rate.parse,
        default=Rate(300, Fraction(1)),
    )
    door_resend: str = from_environment(
        "RINGPROOF_DOOR_RESEND",
        values="cooldown or never",
        parse=partial(matching, "cooldown|never"),
        default="cooldown",
    )
    plivo_auth_id: str | None = from_environment(
        "PLIVO_AUTH_ID",
        values="20 characters that begin with MA or SA, from Plivo's console",
        parse=partial(matching, "(MA|SA)[A-Za-z0-9]{18}"),
        default=None,
        is_shown=False,
    )
    plivo_auth_token: SecretStr | None = from_environment(
        "PLIVO_AUTH_TOKEN",
        values="the token that belongs to PLIVO_AUTH_ID, without quotes, blanks and anything but ASCII",
        parse=parse_token,
        parse_unused=SecretStr,
        default=None,
    )
    plivo_auth_token_file: str | None = from_environment(
        "PLIVO_AUTH_TOKEN_FILE", values="the path of a file with the token alone", default=None
    )
    plivo_base_url: str = from_environment(
        "PLIVO_BASE_URL",
        values="write it as https://HOST/v1; http:// only on this machine: http://127.0.0.1:8077/v1",
        parse=plivo_url.check,
        default="https://api.plivo.com/v1",
    )
    plivo_proxy: SecretStr | None = from_environment(
        "PLIVO_PROXY",
        *USUAL_PROXY,
        values=PROXY_SHAPE,
        parse=parse_proxy_url,
        parse_unused=SecretStr,
        default=None,
    )
    no_proxy: str = from_environment(*USUAL_NO_PROXY, values="the hosts that need no proxy, with commas", default="")
    plivo_ca_bundle: str | None = from_environment(
        "PLIVO_CA_BUNDLE",
        *USUAL_CA_BUNDLE,
        values=ca_bundle.SHAPE,
        parse=ca_bundle.check,
        parse_unused=str,
        default=None,
    )
    webhook_url: SecretStr | None = from_environment(
        "RINGPROOF_WEBHOOK_URL",
        values="write it as https://HOST/PATH, without a login; http:// only on this machine",
        parse=parse_webhook_url,
        default=None,
    )
    webhook_secrets: tuple[SecretStr, ...] = from_environment(
        "RINGPROOF_WEBHOOK_SECRETS", values=webhook_address.SECRETS, parse=parse_webhook_secrets, default=()
    )
    webhook_secrets_file: str | None = from_environment(
        "RINGPROOF_WEBHOOK_SECRETS_FILE", values="the path of a file with the secrets alone", default=None
    )
    webhook_allow_private: bool = from_environment(
        webhook_address.ALLOW_PRIVATE,
        values="true or false",
        parse=lambda text: matching("true|false", text) == "true",
        default=False,
    )
    webhook_proxy: SecretStr | None = from_environment(
        *USUAL_PROXY, values=PROXY_SHAPE, parse=parse_proxy_url, parse_unused=SecretStr, default=None
    )
    webhook_ca_bundle: str | None = from_environment(
        *USUAL_CA_BUNDLE, values=ca_bundle.SHAPE, parse=ca_bundle.check, parse_unused=str, default=None
    )

    @classmethod
    def read(cls, environ: Mapping[str, str], *, worker: bool = False, only: Collection[str] = ()) -> Self:
        """Build the settings from a mapping. An empty or blank variable counts as absent.

        A `worker` needs Plivo's credentials. If `only` names fields, just these are read, and the others have their
        defaults. Raises `Misconfigured` with all problems at once. Each names its variable and the right values, and
        shows no value:

            RINGPROOF_REGION: a country's two ISO 3166 letters, such as US or GB
        """
        values = {name: one.values for _, one in cls._variables() for name in one.names}
        stripped = ((name, environ.get(name, "").strip()) for name in values)
        given, problems = with_secrets({name: value for name, value in stripped if value}, worker=worker)
        given, more = with_redis_password(given)
        problems += more
        to_plivo = without_unused(given, given.get("PLIVO_BASE_URL", cls.plivo_base_url))
        to_webhook = without_unused(given, url) if (url := given.get("RINGPROOF_WEBHOOK_URL")) else {}
        found: dict[str, Any] = {}
        for entry, variable in cls._variables():
            used = to_webhook if entry.startswith("webhook") else to_plivo
            name = next((name for name in variable.names if name in used), None)
            if name is None or (only and entry not in only):
                continue
            try:
                found[entry] = (variable.parse if worker else variable.parse_unused)(used[name])
            except ValueError as error:
                problems.append(f"{name}: {variable.remedy(error)}")
        if worker:
            problems += [
                f"{name}: missing; the worker needs it to ask Plivo. Set it in the environment, or load your .env "
                "first: set -a; . ./.env; set +a"
                for name in ("PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN")
                if name not in given and not any(problem.startswith(name) for problem in problems)
            ]
            if plivo_url.exposes(given.get("PLIVO_BASE_URL", ""), given.get("PLIVO_AUTH_TOKEN", "")):
                problems.append(f"PLIVO_BASE_URL: {plivo_url.REMEDY}")
            problems += webhook_address.problems(to_webhook)
            problems += fixed_codes.problems(cls(**found))
        if problems:
            raise Misconfigured(*dict.fromkeys(problems))
        return cls(**found)

    @classmethod
    def variables(cls) -> tuple[str, ...]:
        """Return the names of Ringproof's own variables: those that it reads, except what programs share."""
        names = (name for _, variable in cls._variables() for name in variable.names)
        return tuple(name for name in names if name not in (*USUAL_PROXY, *USUAL_NO_PROXY, *USUAL_CA_BUNDLE))

    @classmethod
    def _variables(cls) -> Iterator[tuple[str, Variable]]:
        """Yield each field's name with its variables."""
        return ((one.name, one.metadata["variable"]) for one in fields(cls))

    @property
    def policy(self) -> Policy:
        """The policy that the workers write into Redis for the scripts."""
        return Policy(
            rate=self.rate,
            cooldown_ms=self.resend_cooldown_seconds * 1000,
            record_ms=self.record_days * 86_400_000,
            call_rate=self.call_rate,
            max_codes_per_day=self.max_codes_per_day,
            max_calls_per_week=self.max_calls_per_week,
            range_codes_per_hour=self.range_codes_per_hour,
            max_wrong_codes=self.max_wrong_codes,
            country_codes_per_hour=self.country_codes_per_hour,
            people_codes_per_day=self.people_codes_per_day,
            requester_codes_per_hour=self.requester_codes_per_hour,
            requester_codes_per_day=self.requester_codes_per_day,
            breaker_percent=self.breaker_percent,
            breaker_codes=self.breaker_codes,
            countries=tuple(sorted(self.countries)),
            quiet_hours=str(self.quiet_hours or ""),
            reverify_ms=(self.reverify_after_days or 0) * 86_400_000,
            reverify_mode=self.reverify_mode,
            test_numbers=self.test_numbers.numbers,
        )

    @property
    def proxy(self) -> Proxy | None:
        """The proxy that leads to Plivo. Raises ValueError if it is none, which a worker has seen at its start."""
        return Proxy.parse(self.plivo_proxy.get_secret_value()) if self.plivo_proxy else None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that no log may show, longest first: Plivo's token, webhooks' secrets, Redis' password, proxies'.

        A password is listed as written, and decoded.
        """
        token = self.plivo_auth_token.get_secret_value() if self.plivo_auth_token else ""
        secrets = {token, *(secret.get_secret_value() for secret in self.webhook_secrets)}
        secrets |= passwords_in(self.redis_url, self.plivo_proxy, self.webhook_proxy)
        return tuple(sorted(secrets - {""}, key=len, reverse=True))

    @property
    def shown_redis_url(self) -> str:
        """Redis' URL for logs and errors: with its password masked, and without its options."""
        return redis_url.shown(self.redis_url.get_secret_value())
