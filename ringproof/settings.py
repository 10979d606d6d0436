"""The settings of a process, read from its environment. All problems are reported at once, by variable name."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
)

from ringproof.errors import Misconfigured
from ringproof.network import ca_bundle, plivo_url, redis_url
from ringproof.network.proxy import Proxy, goes_direct
from ringproof.phone.country_list import NOTATION as COUNTRIES
from ringproof.phone.country_list import parse_countries
from ringproof.phone.number import check_region
from ringproof.phone.quiet_hours import NOTATION, QuietHours
from ringproof.policy import Policy, Rate
from ringproof.secret_file import with_secrets

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"

# What a machine's programs share. Ours come first, and curl's order of the others follows.
USUAL_PROXY: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
USUAL_NO_PROXY: Final = ("no_proxy", "NO_PROXY")
USUAL_CA_BUNDLE: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def _rate(value: object) -> object:
    return Rate.parse(value) if isinstance(value, str) else value


def _quiet_hours(value: object) -> object:
    return QuietHours.parse(value) if isinstance(value, str) else value


def _redis_url(value: SecretStr) -> SecretStr:
    return SecretStr(redis_url.check(value.get_secret_value()))


def _token(value: SecretStr, info: ValidationInfo) -> SecretStr:
    if info.context and not re.fullmatch("[!#-&(-~]+", value.get_secret_value()):
        raise ValueError("with blanks, quotes or other letters")
    return value


def _proxy_url(value: SecretStr, info: ValidationInfo) -> SecretStr:
    if info.context:  # a worker's; a producer may have any proxy in its environment
        Proxy.parse(value.get_secret_value())
    return value


def _ca_bundle(value: str, info: ValidationInfo) -> str:
    return ca_bundle.check(value) if info.context else value


def _countries(value: object) -> object:
    return parse_countries(value) if isinstance(value, str) else value


def _cap(variable: str, usual: int, most: int) -> Any:
    """Return the field of a cap on people's codes. `most` is more than anybody needs: a larger one is a mistake."""
    what = f"a whole number of codes, 1 to {most}, or 0 for no limit"
    return Field(usual, alias=variable, ge=0, le=most, description=what)


class Settings(BaseModel):
    """The settings of one process. `Settings.read(os.environ)` builds them; nothing else reads the environment.

    A field's description says which values are right. An error about a wrong value has this description only,
    because the texts of pydantic and urllib would show parts of the value.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)

    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] = Field(
        SecretStr(DEFAULT_REDIS_URL),
        validation_alias=AliasChoices("RINGPROOF_REDIS_URL", "REDIS_URL"),
        description=redis_url.SHAPES,
    )
    redis_url_file: str | None = Field(
        None, alias="RINGPROOF_REDIS_URL_FILE", description="the path of a file with the URL of Redis alone"
    )
    prefix: str = Field(
        "ringproof",
        alias="RINGPROOF_PREFIX",
        pattern=r"^[A-Za-z0-9_.-]{1,32}$",
        description="1 to 32 letters, digits, or . _ -",
    )
    region: Annotated[str, AfterValidator(check_region)] | None = Field(
        None,
        alias="RINGPROOF_REGION",
        description="a country's two ISO 3166 letters, such as US or GB",
    )
    log_format: Literal["text", "json"] = Field("text", alias="RINGPROOF_LOG_FORMAT", description="text or json")
    rate: Annotated[Rate, BeforeValidator(_rate)] = Field(
        Policy().rate,
        alias="RINGPROOF_RATE",
        description="write a rate as requests per seconds, such as 300/5s, 2/1s or 0.5/1s",
    )
    call_rate: Annotated[Rate, BeforeValidator(_rate)] = Field(
        Policy().call_rate,
        alias="RINGPROOF_CALL_RATE",
        description="write a rate as calls per seconds, such as 2/1s or 0.5/1s",
    )
    resend_cooldown_seconds: int = Field(
        60,
        alias="RINGPROOF_RESEND_COOLDOWN_SECONDS",
        ge=0,
        le=86_400,
        description="a whole number of seconds, 0 to 86400",
    )
    max_codes_per_day: int = Field(
        Policy().max_codes_per_day,
        alias="RINGPROOF_MAX_CODES_PER_DAY",
        ge=1,
        le=10,
        description="a whole number of codes, 1 to 10",
    )
    max_calls_per_week: int = Field(
        Policy().max_calls_per_week,
        alias="RINGPROOF_MAX_CALLS_PER_WEEK",
        ge=1,
        le=10,
        description="a whole number of calls, 1 to 10",
    )
    range_codes_per_hour: int = _cap("RINGPROOF_RANGE_CODES_PER_HOUR", Policy().range_codes_per_hour, 10_000)
    max_wrong_codes: int = Field(
        Policy().max_wrong_codes,
        alias="RINGPROOF_MAX_WRONG_CODES",
        ge=1,
        le=100,  # one guesser of 100 hits a code of four digits before the first lock
        description="a whole number of wrong codes, 1 to 100",
    )
    country_codes_per_hour: int = _cap("RINGPROOF_COUNTRY_CODES_PER_HOUR", Policy().country_codes_per_hour, 1_000_000)
    people_codes_per_day: int = _cap("RINGPROOF_PEOPLE_CODES_PER_DAY", Policy().people_codes_per_day, 10_000_000)
    requester_codes_per_hour: int = _cap(
        "RINGPROOF_REQUESTER_CODES_PER_HOUR", Policy().requester_codes_per_hour, 10_000
    )
    requester_codes_per_day: int = _cap("RINGPROOF_REQUESTER_CODES_PER_DAY", Policy().requester_codes_per_day, 100_000)
    breaker_percent: int = Field(
        Policy().breaker_percent,
        alias="RINGPROOF_BREAKER_PERCENT",
        ge=0,
        le=90,  # beyond it, people who mistype their number would open it
        description="a whole number of percent, 1 to 90, or 0 for no breaker",
    )
    breaker_codes: int = Field(
        Policy().breaker_codes,
        alias="RINGPROOF_BREAKER_CODES",
        ge=10,  # of fewer, chance says more than people
        le=1000,
        description="a whole number of codes, 10 to 1000",
    )
    countries: Annotated[frozenset[str], BeforeValidator(_countries)] = Field(
        frozenset(),
        alias="RINGPROOF_COUNTRIES",
        description=COUNTRIES,
    )
    quiet_hours: Annotated[QuietHours | None, BeforeValidator(_quiet_hours)] = Field(
        None, alias="RINGPROOF_QUIET_HOURS", description=NOTATION
    )
    in_doubt: Literal["resend", "hold"] = Field("resend", alias="RINGPROOF_IN_DOUBT", description="resend or hold")
    reverify_after_days: int | None = Field(
        None,
        alias="RINGPROOF_REVERIFY_AFTER_DAYS",
        ge=1,
        le=3650,
        description="a whole number of days, 1 to 3650; empty for never",
    )
    reverify_mode: Literal["check", "send"] = Field(
        "check", alias="RINGPROOF_REVERIFY_MODE", description="check or send"
    )
    record_days: int = Field(
        90, alias="RINGPROOF_RECORD_DAYS", ge=1, le=3650, description="a whole number of days, 1 to 3650"
    )
    plivo_auth_id: str | None = Field(
        None,
        alias="PLIVO_AUTH_ID",
        pattern=r"^(MA|SA)[A-Za-z0-9]{18}$",
        repr=False,
        description="20 characters that begin with MA or SA, from Plivo's console",
    )
    plivo_auth_token: Annotated[SecretStr, AfterValidator(_token)] | None = Field(
        None,
        alias="PLIVO_AUTH_TOKEN",
        description="the token that belongs to PLIVO_AUTH_ID, without quotes, blanks and anything but ASCII",
    )
    plivo_auth_token_file: str | None = Field(
        None, alias="PLIVO_AUTH_TOKEN_FILE", description="the path of a file with the token alone"
    )
    plivo_base_url: Annotated[str, AfterValidator(plivo_url.check)] = Field(
        "https://api.plivo.com/v1",
        alias="PLIVO_BASE_URL",
        description="write it as https://HOST/v1; http:// only on this machine: http://127.0.0.1:8077/v1",
    )
    plivo_proxy: Annotated[SecretStr, AfterValidator(_proxy_url)] | None = Field(
        None,
        validation_alias=AliasChoices("PLIVO_PROXY", *USUAL_PROXY),
        description="write it as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with / ? # [ ] @ in a password as "
        "%2F %3F %23 %5B %5D %40; proxies with https:// or socks5:// are not supported; NO_PROXY=* asks none",
    )
    no_proxy: str = Field(
        "", validation_alias=AliasChoices(*USUAL_NO_PROXY), description="the hosts that need no proxy, with commas"
    )
    plivo_ca_bundle: Annotated[str, AfterValidator(_ca_bundle)] | None = Field(
        None,
        validation_alias=AliasChoices("PLIVO_CA_BUNDLE", *USUAL_CA_BUNDLE),
        description="the path of a file with PEM certificates that this process can read, or of a folder that "
        "`openssl rehash` has prepared",
    )

    @classmethod
    def read(cls, environ: Mapping[str, str], *, worker: bool = False) -> Self:
        """Build the settings from a mapping. An empty or blank variable counts as absent.

        A `worker` needs Plivo's credentials. Raises `Misconfigured` with all problems at once. Each names its
        variable and the right values, and shows no value:

            RINGPROOF_REGION: a country's two ISO 3166 letters, such as US or GB
        """
        remedies = cls._remedies()
        stripped = ((name, environ.get(name, "").strip()) for name in remedies)
        given, problems = with_secrets({name: value for name, value in stripped if value}, worker=worker)
        given = _without_unused(given)
        try:
            settings = cls.model_validate(given, context=worker)
        except ValidationError as error:
            names = [str(problem["loc"][0]) for problem in error.errors(include_input=False)]
            problems += [f"{cls._name_given(name, given)}: {remedies[name]}" for name in names]
        if worker:
            problems += [
                f"{name}: missing; the worker needs it to ask Plivo. Set it in the environment, or load your .env "
                "first: set -a; . ./.env; set +a"
                for name in ("PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN")
                if name not in given and not any(problem.startswith(name) for problem in problems)
            ]
            if plivo_url.exposes(given.get("PLIVO_BASE_URL", ""), given.get("PLIVO_AUTH_TOKEN", "")):
                problems.append(f"PLIVO_BASE_URL: {plivo_url.REMEDY}")
        if problems:
            raise Misconfigured(*problems)
        return settings

    @classmethod
    def variables(cls) -> tuple[str, ...]:
        """Return the names of Ringproof's own variables: those that it reads, except what programs share."""
        return tuple(name for name in cls._remedies() if name not in (*USUAL_PROXY, *USUAL_NO_PROXY, *USUAL_CA_BUNDLE))

    @classmethod
    def _names(cls) -> dict[str, tuple[str, ...]]:
        """Return the names of the variables of each field, the first one first."""
        aliases = {field: info.validation_alias or field for field, info in cls.model_fields.items()}
        return {
            field: tuple(str(name) for name in alias.choices) if isinstance(alias, AliasChoices) else (str(alias),)
            for field, alias in aliases.items()
        }

    @classmethod
    def _remedies(cls) -> dict[str, str]:
        """Return the right values of each variable, in words."""
        return {
            name: cls.model_fields[field].description or "" for field, names in cls._names().items() for name in names
        }

    @classmethod
    def _name_given(cls, name: str, given: Mapping[str, str]) -> str:
        """Return the name of the variable with the problem. A field with several has the first one that is set."""
        names = next(names for names in cls._names().values() if name in names)
        return next((one for one in names if one in given), name)

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
        )

    @property
    def proxy(self) -> Proxy | None:
        """The proxy that leads to Plivo. Raises ValueError if it is none, which a worker has seen at its start."""
        return Proxy.parse(self.plivo_proxy.get_secret_value()) if self.plivo_proxy else None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that no log may show, longest first: Plivo's token; Redis' password and the proxy's.

        A password is listed as written, and decoded.
        """
        token = self.plivo_auth_token.get_secret_value() if self.plivo_auth_token else ""
        secrets = {token}
        for url in (self.redis_url, self.plivo_proxy):
            written = _password(url.get_secret_value()) if url else ""
            secrets |= {written, unquote(written)}
        return tuple(sorted(secrets - {""}, key=len, reverse=True))

    @property
    def shown_redis_url(self) -> str:
        """Redis' URL for logs and errors: with its password masked, and without its options."""
        return redis_url.shown(self.redis_url.get_secret_value())


def _password(url: str) -> str:
    """Return the password in a URL as it is written. The URL of a proxy may have no scheme, or be none."""
    try:
        return urlsplit(url if "://" in url else f"//{url}").password or ""
    except ValueError:
        return ""


def _without_unused(given: dict[str, str]) -> dict[str, str]:
    """Leave out what the way to Plivo does not need, so that it may have any value."""
    try:
        plivo = urlsplit(given.get("PLIVO_BASE_URL", Settings.model_fields["plivo_base_url"].default))
    except ValueError:
        return given
    no_proxy = next((given[name] for name in USUAL_NO_PROXY if name in given), "")
    unused: tuple[str, ...] = ()
    if goes_direct(plivo.hostname or ""):
        unused = ("PLIVO_PROXY", *USUAL_PROXY)
    elif goes_direct(plivo.hostname or "", no_proxy):
        unused = USUAL_PROXY
    if plivo.scheme == "http":
        unused += USUAL_CA_BUNDLE
    return {name: value for name, value in given.items() if name not in unused}
