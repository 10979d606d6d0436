"""What a producer asks for, checked before anything is queued."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from ringproof.errors import InvalidRequest
from ringproof.ledger.acceptance import Requester
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from ringproof.phone.caller_id import check_alias, check_subaccount
from ringproof.phone.masking import shown
from ringproof.phone.number import PhoneNumber, check_channel, parse, route


@dataclass(frozen=True, slots=True)
class VerificationRequest:
    """A request that can be sent: the number is real, the channel reaches it, the rest is what Plivo takes."""

    number: PhoneNumber
    channel: str
    alias: str | None = field(default=None, repr=False)
    subaccount: str | None = None
    resend: bool = False
    reverify_after_days: int | None = None

    @classmethod
    def read(cls, args: Sequence[Any], kwargs: Mapping[str, Any], default_region: str | None = None) -> Self:
        """Check the arguments of `initiate_verification`.

        Raises `InvalidNumber`, or `InvalidRequest` for everything else, an unknown argument included.
        """
        for name in kwargs:
            if name not in _SIGNATURE.parameters:  # bind would tell it in clear, and it may be a number
                raise InvalidRequest("arguments", f"{shown(name)} is none of them", _ARGUMENTS)
        try:
            asked = _SIGNATURE.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidRequest("arguments", str(error), _ARGUMENTS) from None
        asked.apply_defaults()
        return cls._check(default_region, **asked.arguments)

    @classmethod
    def _check(
        cls,
        default_region: str | None,
        phone_number: object,
        alias: object,
        channel: object,
        subaccount: object,
        region: object,
        resend: object,
        reverify_after_days: object,
    ) -> Self:
        if region is not None and not isinstance(region, str):
            raise InvalidRequest("region", shown(region), "a country's two letters, such as 'US'")
        channel = check_channel(channel)
        if not isinstance(resend, bool):
            raise InvalidRequest("resend", shown(resend), "True or False")
        alias, subaccount = check_alias(alias), check_subaccount(subaccount)
        number = parse(phone_number, region or default_region)
        return cls(number, route(number, channel), alias, subaccount, resend, check_days(reverify_after_days))

    def requester(self, lane: Lane) -> Requester:
        """Who asks, for a request in this lane. Raises `InvalidRequest` for a resend that no person asked for."""
        if lane is Lane.INTERACTIVE:
            return Requester.RESEND if self.resend else Requester.PERSON
        if self.resend:
            raise InvalidRequest("resend", "True", f"a resend is a person's: use queue={queue(Lane.INTERACTIVE)!r}")
        return Requester.ROSTER


def _of_a_person(
    phone_number: str,
    alias: str | None = None,
    channel: str = "sms",
    subaccount: str | None = None,
    region: str | None = None,
    resend: bool = False,
    reverify_after_days: int | None = None,
) -> None:
    """Give the task's arguments their names and order."""


_SIGNATURE = inspect.signature(_of_a_person).replace(return_annotation=inspect.Signature.empty)
_ARGUMENTS = f"the arguments are {_SIGNATURE}"


MOST_DAYS = 3650


def check_days(days: object) -> int | None:
    """Return after how many days a number is to be verified again: 0 for never, None as all others."""
    if days is None or (type(days) is int and 0 <= days <= MOST_DAYS):
        return days
    raise InvalidRequest(
        "reverify_after_days", shown(days), f"a whole number of days, 1 to {MOST_DAYS}, or 0 for never"
    )
