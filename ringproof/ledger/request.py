"""The arguments of `initiate_verification`, checked before anything is queued."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from ringproof.accounts import check_name
from ringproof.errors import InvalidRequest
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from ringproof.ledger.result_id import number_of
from ringproof.phone.caller_id import check_alias, check_subaccount, is_empty
from ringproof.phone.masking import mask_value
from ringproof.phone.number import (
    Channel,
    PhoneNumber,
    WrittenNumber,
    channel_for,
    check_channel,
    optional_region,
    parse,
)
from ringproof.policy import MOST_DAYS
from ringproof.signature import by_place


@dataclass(frozen=True, slots=True)
class VerificationRequest:
    """A request that can be sent: the number is possible, the channel reaches it, and Plivo accepts the rest."""

    number: PhoneNumber
    channel: str
    alias: str | None = field(default=None, repr=False)
    subaccount: str | None = None
    resend: bool = False
    reverify_after_days: int | None = None
    requester: str | None = field(default=None, repr=False)
    account: str | None = None

    @classmethod
    def read(cls, args: Sequence[Any], kwargs: Mapping[str, Any], default_region: str | None = None) -> Self:
        """Check the arguments of `initiate_verification`. An empty field of a form is absent.

        Raises `InvalidNumber` for the number, and `InvalidRequest` for everything else, an unknown argument included.

        >>> request = VerificationRequest.read(["415-555-0123"], {"region": "US", "resend": True})
        >>> request.number.e164, request.channel, request.resend
        ('+14155550123', 'sms', True)
        """
        for name in kwargs:
            if name not in _SIGNATURE.parameters:  # bind's error would show it, and it may be a number
                raise InvalidRequest("arguments", f"{mask_value(name)} is none of them", _ARGUMENTS)
        try:
            bound = _SIGNATURE.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidRequest("arguments", str(error), _ARGUMENTS) from None
        bound.apply_defaults()
        return cls._check(default_region, **bound.arguments)

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
        requester: object,
        account: object,
    ) -> Self:
        region = optional_region(region)
        channel = check_channel(channel)
        if not isinstance(resend, bool):
            raise InvalidRequest("resend", mask_value(resend), "True or False")
        alias, subaccount = check_alias(alias), check_subaccount(subaccount)
        days, requester = check_days(reverify_after_days), check_requester(requester)
        # An empty one is refused: a form without its account must not have the installation's own pay for the code.
        account = None if account is None else check_name(account)
        home = region or default_region
        written, _ = number_of(phone_number, account, home)
        number = parse(written, home)
        return cls(number, channel_for(number, channel), alias, subaccount, resend, days, requester, account)

    def kind(self, lane: Lane) -> RequestKind:
        """Return the kind of this request in a lane. Raises `InvalidRequest` for a resend outside a person's lane."""
        if lane is Lane.INTERACTIVE:
            return RequestKind.RESEND if self.resend else RequestKind.PERSON
        if self.resend:
            raise InvalidRequest(
                "resend", "True", f"only a person asks for a resend: use queue={queue(Lane.INTERACTIVE)!r}"
            )
        return RequestKind.ROSTER


def arguments(
    phone_number: WrittenNumber,
    *,
    alias: str | None = None,
    channel: Channel = "sms",
    subaccount: str | None = None,
    region: str | None = None,
    resend: bool = False,
    reverify_after_days: int | None = None,
    requester: str | None = None,
    account: str | None = None,
) -> None:
    """Give the arguments of `initiate_verification` their names, types and order.

    A program may also give the later ones by place: it could before they had types.
    """


_SIGNATURE = by_place(arguments)
_ARGUMENTS = f"the arguments are {_SIGNATURE}"


LONGEST_REQUESTER = 256
"""Characters: a session's key, an address or a user's id are shorter."""


def check_days(days: object) -> int | None:
    """Return a period of re-verification in days: 0 for never, None for the policy's. Raises `InvalidRequest`."""
    if is_empty(days):
        return None
    if type(days) is int and 0 <= days <= MOST_DAYS:
        return days
    raise InvalidRequest(
        "reverify_after_days", mask_value(days), f"a whole number of days, 1 to {MOST_DAYS}, or 0 for never"
    )


def check_requester(requester: object) -> str | None:
    """Return whom a web app names as the one who asks; None for nobody. Raises `InvalidRequest`."""
    if is_empty(requester):
        return None
    if isinstance(requester, str) and len(requester) <= LONGEST_REQUESTER and requester.isprintable():
        return requester
    raise InvalidRequest(
        "requester",
        mask_value(requester),
        f"a text of 1 to {LONGEST_REQUESTER} printable characters, such as the key of the user's session",
    )
