"""Everything that the environment decides, checked at once and by variable name."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic import SecretStr, ValidationError

from worker.errors import Misconfigured
from worker.pace import Policy, Rate

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"


def _rate(value: object) -> object:
    return Rate.parse(value) if isinstance(value, str) else value


def _redis_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise ValueError("write it as redis://[:PASSWORD@]HOST:PORT/DB, or rediss:// for TLS")
    if not re.fullmatch(r"/?\d*", parts.path):
        raise ValueError("the path is the number of a database, such as /0")
    _ = parts.port  # raises ValueError itself
    return value


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    loopback = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise ValueError("https:// only, unless it is this machine (http://127.0.0.1:8077/v1)")
    return value.rstrip("/")


class Settings(BaseModel):
    """One process's settings. `Settings.read(os.environ)` builds them; nothing else reads the environment."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)

    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] = Field(
        SecretStr(DEFAULT_REDIS_URL), validation_alias=AliasChoices("RINGPROOF_REDIS_URL", "REDIS_URL")
    )
    prefix: str = Field("ringproof", alias="RINGPROOF_PREFIX", pattern=r"^[A-Za-z0-9_.-]{1,32}$")
    region: Annotated[str, AfterValidator(str.upper)] | None = Field(
        None, alias="RINGPROOF_REGION", pattern=r"^[A-Za-z]{2}$"
    )
    log_format: Literal["text", "json"] = Field("text", alias="RINGPROOF_LOG_FORMAT")
    rate: Annotated[Rate, BeforeValidator(_rate)] = Field(Policy().rate, alias="RINGPROOF_RATE")
    resend_cooldown_seconds: int = Field(60, alias="RINGPROOF_RESEND_COOLDOWN_SECONDS", ge=0, le=86_400)
    record_days: int = Field(90, alias="RINGPROOF_RECORD_DAYS", ge=1, le=3650)
    plivo_auth_id: str | None = Field(None, alias="PLIVO_AUTH_ID", pattern=r"^(MA|SA)[A-Za-z0-9]{18}$")
    plivo_auth_token: SecretStr | None = Field(None, alias="PLIVO_AUTH_TOKEN")
    plivo_base_url: Annotated[str, AfterValidator(_base_url)] = Field(
        "https://api.plivo.com/v1", alias="PLIVO_BASE_URL"
    )

    @classmethod
    def read(cls, environ: Mapping[str, str], *, worker: bool = False) -> Self:
        """Build the settings from a mapping; a variable that is empty counts as absent.

        With `worker`, Plivo's credentials are required. Raises `Misconfigured` with every problem at once: each
        names its variable and what would be right, and shows no value.
        """
        given = {name: value for name, value in environ.items() if value and name in cls.variables()}
        problems = []
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            problems = [
                f"{_variable(problem['loc'], given)}: {_remedy(problem)}"
                for problem in error.errors(include_input=False, include_url=False)
            ]
        if worker:
            problems += [
                f"{name}: missing; the worker needs it to ask Plivo (put it into the environment, or load your "
                f".env first: set -a; . ./.env; set +a)"
                for name in ("PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN")
                if name not in given
            ]
        if problems:
            raise Misconfigured(*problems)
        return settings

    @classmethod
    def variables(cls) -> tuple[str, ...]:
        """Return the names of all variables that are read."""
        names: list[str] = []
        for field in cls.model_fields.values():
            choices = field.validation_alias
            names += (
                [str(name) for name in choices.choices]
                if isinstance(choices, AliasChoices)
                else [str(field.alias)]
            )
        return tuple(names)

    @property
    def policy(self) -> Policy:
        """What the workers tell the scripts."""
        return Policy(
            rate=self.rate,
            cooldown_ms=self.resend_cooldown_seconds * 1000,
            record_ms=self.record_days * 86_400_000,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be in no log: Plivo's token and Redis' password."""
        password = urlsplit(self.redis_url.get_secret_value()).password or ""
        token = self.plivo_auth_token.get_secret_value() if self.plivo_auth_token else ""
        return tuple(secret for secret in (password, token) if secret)

    @property
    def shown_redis_url(self) -> str:
        """Redis' URL as it may be shown: its password masked."""
        parts = urlsplit(self.redis_url.get_secret_value())
        login, at, address = parts.netloc.rpartition("@")
        user, colon, _ = login.partition(":")
        return parts._replace(netloc=f"{user}{colon and ':•••'}{at}{address}", query="").geturl()


_REMEDIES = {
    "prefix": "1 to 32 letters, digits, or . _ -",
    "region": "a country's two letters, such as US",
    "plivo_auth_id": "20 characters that begin with MA or SA, from Plivo's console",
}


def _variable(location: tuple[int | str, ...], given: Mapping[str, str]) -> str:
    """Name the variable that a problem is about: of two, the one that was given."""
    name = str(location[0])
    if name == "RINGPROOF_REDIS_URL" and name not in given:
        return "REDIS_URL"
    return name


def _remedy(problem: Mapping[str, object]) -> str:
    """Say what would be right, without the value."""
    name = str(problem["loc"][0])  # type: ignore[index]  # pydantic's ErrorDetails: a tuple of names
    for field_name, field in Settings.model_fields.items():
        if field.alias == name and field_name in _REMEDIES:
            return _REMEDIES[field_name]
    return str(problem["msg"]).removeprefix("Value error, ")
