"""How a field of the settings is read from the environment. Each parser raises ValueError for a wrong text."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import field
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from ringproof.network import redis_url, sentinel_url, webhook_address
from ringproof.network.proxy import Proxy
from ringproof.network.sentinel_url import SentinelUrl, WrongSentinelUrlError
from ringproof.secret_str import SecretStr
from ringproof.settings.fixed_codes import WrongFixedCodesError

if TYPE_CHECKING:
    from ringproof.phone.quiet_hours import QuietHours

FUNCTION: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)
"""A function of a program: `module:function`."""

_WHOLE = re.compile(r"[+-]?[0-9]+(?:_[0-9]+)*(?:\.0+)?")


class Variable(NamedTuple):
    """How a field is read from the environment."""

    names: tuple[str, ...]
    """Its variables. The first one that is set counts."""
    values: str
    """The right values, in words."""
    parse: Callable[[str], Any]
    """Makes the field's value of a text. Raises ValueError if that is wrong."""
    parse_unused: Callable[[str], Any]
    """The same in a producer, where what only workers use may be wrong."""

    def remedy(self, error: ValueError) -> str:
        """Return what an error about a wrong text says: no part of that text."""
        if isinstance(error, WrongSentinelUrlError):
            return f"{error}; {sentinel_url.SHAPE}"
        return f"{error}; write {self.values}" if isinstance(error, WrongFixedCodesError) else self.values


def from_environment(
    *names: str,
    values: str,
    default: Any,
    parse: Callable[[str], Any] = str,
    parse_unused: Callable[[str], Any] | None = None,
    is_shown: bool = True,
) -> Any:
    """Return a field that is read from the first of these variables that is set."""
    variable = Variable(names, values, parse, parse_unused or parse)
    return field(default=default, metadata={"variable": variable}, repr=is_shown)


def count(variable: str, what: str, least: int, most: int, *, default: int | None) -> Any:
    """Return the field of a whole number from least to most. `what` says what it counts."""
    values = f"a whole number of {what}, {least} to {most}"
    return from_environment(variable, values=values, parse=partial(whole, least, most), default=default)


def cap(variable: str, usual: int, most: int) -> Any:
    """Return the field of a cap on people's codes. `most` is more than anybody needs: a larger one is a mistake."""
    what = f"a whole number of codes, 1 to {most}, or 0 for no limit"
    return from_environment(variable, values=what, parse=partial(whole, 0, most), default=usual)


def whole(least: int, most: int, text: str) -> int:
    """Return a whole number from least to most."""
    if not _WHOLE.fullmatch(text) or not least <= (number := int(text.partition(".")[0])) <= most:
        raise ValueError("not a whole number in this range")
    return number


def matching(pattern: str, text: str) -> str:
    """Return a text that matches a pattern as a whole."""
    if not re.fullmatch(pattern, text):
        raise ValueError("not in this form")
    return text


def parse_accounts(source: str) -> str:
    """Return where the accounts are: an absolute path, or `module:function`."""
    if not (FUNCTION.fullmatch(source) or PurePath(source).is_absolute()):
        raise ValueError("neither a path nor a function")
    return source


def parse_redis_url(url: str) -> SecretStr:
    """Return the URL of a Redis."""
    return SecretStr(redis_url.check(url))


# The numbers' modules load phonenumbers, which takes longer than a healthcheck: these fields alone need them.
def parse_region(text: str) -> str:
    """Return a country's letters."""
    from ringproof.phone.number import check_region  # noqa: PLC0415

    return check_region(text)


def parse_countries(text: str) -> frozenset[str]:
    """Return a list of countries."""
    from ringproof.phone import country_list  # noqa: PLC0415

    return country_list.parse_countries(text)


def parse_quiet_hours(text: str) -> "QuietHours":
    """Return quiet hours."""
    from ringproof.phone.quiet_hours import QuietHours  # noqa: PLC0415

    return QuietHours.parse(text)


def parse_token(token: str) -> SecretStr:
    """Return a token of Plivo's."""
    return SecretStr(matching("[!#-&(-~]+", token))


def parse_webhook_url(url: str) -> SecretStr:
    """Return the address of a webhook's receiver, whose path may be secret."""
    return SecretStr(webhook_address.check(url))


def parse_webhook_secrets(text: str) -> tuple[SecretStr, ...]:
    """Return one secret, or two between which there is a comma."""
    secrets = text.replace(",", " ").split()
    if not 1 <= len(secrets) <= 2 or not all(map(webhook_address.is_secret, secrets)):
        raise ValueError("none, more than two, or not in this form")
    return tuple(map(SecretStr, secrets))


def parse_proxy_url(url: str) -> SecretStr:
    """Return the URL of a proxy."""
    Proxy.parse(url)
    return SecretStr(url)


def passwords_in(*urls: SecretStr | None) -> set[str]:
    """Return the passwords in URLs, as written and decoded. The URL of a proxy may have no scheme, or be none."""
    found = set()
    for url in filter(None, urls):
        text = url.get_secret_value()
        if redis_url.has_sentinels(text):
            found |= SentinelUrl.parse(text).passwords
            continue
        with suppress(ValueError):
            written = urlsplit(text if "://" in text else f"//{text}").password or ""
            found |= {written, unquote(written)}
    return found
