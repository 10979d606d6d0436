"""The id of a result: `+E164/REQUEST`, with the account in front of it where that is not the installation's own."""

import re
from contextlib import suppress
from typing import Final, NamedTuple

from ringproof.accounts import NAME
from ringproof.errors import InvalidNumber, InvalidRequest
from ringproof.phone.masking import mask, mask_value

_RESULT_ID: Final = re.compile(rf"(?:({NAME.pattern}):)?(\+[1-9]\d{{1,14}})(?:/(\d{{1,12}}))?", re.ASCII)

URI_SCHEME: Final = "tel"
"""What stands in front of a number in RFC 3966."""


class ResultId(NamedTuple):
    """What a result's id names: a number, perhaps one of its requests, and the account (None: the installation's own).

    >>> str(ResultId("+14155550123", 1764374400, "acme"))
    'acme:+14155550123/1764374400'
    """

    number: str
    request: int | None = None
    account: str | None = None

    def __str__(self) -> str:
        return self._written(self.number)

    @property
    def masked(self) -> str:
        """The id as logs show it: `acme:+1•••••••23/1764374400`."""
        return self._written(mask(self.number))

    def _written(self, number: str) -> str:
        account = f"{self.account}:" if self.account else ""
        return f"{account}{number}" + (f"/{self.request}" if self.request is not None else "")


def parse_result_id(task_id: str) -> ResultId | None:
    """Return what a result's id names; None if the id is not one of Ringproof's.

    >>> parse_result_id("+14155550123/1764374400")
    ResultId(number='+14155550123', request=1764374400, account=None)
    >>> parse_result_id("acme:+14155550123")
    ResultId(number='+14155550123', request=None, account='acme')
    >>> parse_result_id("7d5c1f2e-8e0b-4a5b-9d0e-3c1a2b4c5d6e")
    """
    match = _RESULT_ID.fullmatch(task_id)
    return ResultId(match[2], int(match[3]) if match[3] else None, match[1]) if match else None


def result_id_in(given: object, region: str | None = None) -> ResultId | None:
    """Return what an id names that a program gives where a number may stand; None if it is a number, or neither.

    A person may write a number with a slash: `+4930/1234567` is one of Berlin, and no request of `+4930`. A telephone
    hands one over as `tel:+14155550123`, which names no account.

    >>> result_id_in("+14155550123/1764374400")
    ResultId(number='+14155550123', request=1764374400, account=None)
    >>> result_id_in("+4930/1234567"), result_id_in("415 555 0123"), result_id_in("tel:+14155550123")
    (None, None, None)
    """
    from ringproof.phone.number import parse  # noqa: PLC0415  # ringproof status reads ids, and needs no phonenumbers

    named = parse_result_id(given) if isinstance(given, str) else None
    if named and named.request is None and named.account == URI_SCHEME:
        return None
    if named and named.request is not None and named.account is None:
        with suppress(InvalidNumber):
            parse(given, region)
            return None
    return named


def number_of(given: object, account: str | None, region: str | None = None) -> tuple[object, int | None]:
    """Return the number that a program gives, and the request if it gives the id of one in the number's place.

    The id must be of this account: users type numbers, and must not choose who pays. Raises `InvalidRequest` otherwise.

    >>> number_of("+14155550123/1764374400", None)
    ('+14155550123', 1764374400)
    >>> number_of("+14155550123", "acme")
    ('+14155550123', None)
    """
    named = result_id_in(given, region)
    if named is None or (named.account is None and named.request is None):
        return given, None
    if named.account != account:
        remedy = "phone_number is the id of another account's request; pass verification.phone_number, and its account"
        raise InvalidRequest("account", mask_value(account), remedy)
    return named.number, named.request


def mask_id(result_id: str) -> str:
    """Mask the number in a result's id: `+1•••••••23/1764374400`."""
    parsed = parse_result_id(result_id)
    return parsed.masked if parsed else result_id
