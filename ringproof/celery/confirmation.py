"""`confirm_verification` as a program calls it: store the code in Redis for a minute, and send a message without it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, overload

from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from ringproof import errors, runtime, tracing
from ringproof.accounts import check_name
from ringproof.aio.event_loop import open_here
from ringproof.celery.messages import CONFIRM, EnqueuedTask, enqueued, reject_options
from ringproof.celery.packing import Packing
from ringproof.celery.waiting import wait_until_stored
from ringproof.ledger.confirmation import NOT_SHOWN, check_code, is_code, storing_code, veil
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from ringproof.ledger.result_id import ResultId, mask_id, number_of, parse_result_id
from ringproof.phone.masking import mask, mask_value
from ringproof.phone.number import WrittenNumber, optional_region, parse
from ringproof.results import Confirmation
from ringproof.secret_str import SecretStr, SecretText
from ringproof.signature import by_place, takes

QUEUE: Final = queue(Lane.INTERACTIVE)
ARGUMENTS: Final = "the arguments are (phone_number, code, region=None, request=verification.id, account=None)"
_REQUEST: Final = "the id of the result that initiate_verification.delay returned for this number: verification.id"
_NOT_OF_A_CONFIRMATION: Final = "that is a verification's: initiate_verification.AsyncResult(id) returns its result"
_NOT_LATER: Final = "leave it out: a worker takes the code within a minute, and the result can be read for a day"
_REMEDIES: Final = dict.fromkeys(
    ("link", "link_error", "chain", "chord", "group_id", "eta", "countdown", "expires", "serializer"), _NOT_LATER
)


def arguments(
    phone_number: WrittenNumber,
    code: str | SecretText,
    *,
    region: str | None = None,
    request: str = ...,  # absent: any code that was sent to the number
    account: str | None = None,
) -> None:
    """Give the arguments of `confirm_verification` their names, types and order."""


def arguments_to_wait(
    phone_number: WrittenNumber,
    code: str | SecretText,
    *,
    region: str | None = None,
    request: str = ...,  # absent: any code that was sent to the number
    account: str | None = None,
    timeout: float | None = None,
) -> None:
    """Give the arguments of `aconfirm` their names, types and order. `timeout` is that of `.get()`, in seconds."""


_NAMES: Final = tuple(by_place(arguments).parameters)


class ConfirmationResult(AsyncResult):
    """The result of one confirmation: Celery's own, with types. Its id is that of the message.

    confirm_verification.delay("+14155550123", "482913", request=verification.id).get(timeout=30)["state"]  # "verified"
    """

    id: str

    @overload
    def get(
        self, timeout: float | None = None, propagate: Literal[True] = True, *args: Any, **options: Any
    ) -> Confirmation: ...
    @overload
    def get(
        self, timeout: float | None = None, propagate: bool = True, *args: Any, **options: Any
    ) -> Confirmation | Exception: ...
    def get(self, timeout: float | None = None, propagate: bool = True, *args: Any, **options: Any) -> Any:
        """Wait until a worker has entered the code, and return what it proves.

        Raises a `NotConfirmed` if the code has verified nothing, Celery's TimeoutError after `timeout` seconds, and
        `LedgerUnavailable` if Redis is away then. With `propagate=False` it returns the error.
        """
        return super().get(timeout, propagate, *args, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the id alone. Celery's own method would add Redis' URL, password included."""
        return _restored, (self.id,)


class ConfirmationTask(EnqueuedTask):
    """A task whose message has no code. The code waits in Redis under a handle, and a worker takes it once."""

    abstract = True

    def veil(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with the code as a SecretStr: crash reporters record the variables of each function."""
        code = _NAMES.index("code")
        hidden = tuple(veil(value) if place == code else value for place, value in enumerate(args))
        return hidden, {name: veil(value) if name == "code" else value for name, value in kwargs.items()}

    @takes(arguments)
    def delay(self, *args: Any, **kwargs: Any) -> ConfirmationResult:
        """Have a worker enter the code at Plivo, and return an ordinary Celery result.

            confirm_verification.delay("+14155550123", "482913", request=verification.id).get(timeout=30)

        With `request`, only the code that was sent for this request is entered; its id names the account, too.
        `apply_async` lists the errors.
        """
        args, kwargs = self.veil(args, kwargs)
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> ConfirmationResult:
        """Store the code for a worker, and send its message; return an ordinary Celery result.

            confirm_verification.delay("+14155550123", "482913", request=verification.id).get(timeout=30)
            # {"state": "verified", "verification_uuid": "24856289-…", "country": "US", "verified_at": "2026-…"}

        With `request`, only the code that was sent for this request is entered. The code is a text as a person pastes
        it: `check_code` says which signs are dropped. `account` is the account that has sent it, if it is not the
        installation's own; the id in `request` names it already.

        Raises `InvalidNumber`, or `InvalidRequest` for a wrong code, which the error does not show. Raises
        `LedgerUnavailable` if Redis does not answer: then Plivo is not asked, and the user can enter the code again.
        """
        args, kwargs = self.veil(args or (), kwargs or {})
        entry = _Entry.read(args, kwargs, options)
        handle, storing = storing_code(entry.ledger, entry.code)
        entry.ledger.run(*storing)
        try:
            return self._send(entry, handle, options)
        except OperationalError as error:
            unavailable = errors.LedgerUnavailable(entry.ledger.shown_url, type(error).__name__)
        raise unavailable

    @takes(arguments_to_wait)
    async def aconfirm(self, *args: Any, **kwargs: Any) -> Confirmation:
        """Have a worker enter the code at Plivo, and await what it proves: no thread, and no call that blocks.

            await confirm_verification.aconfirm("+14155550123", "482913", request=verification.id, timeout=10)
            # {"state": "verified", "verification_uuid": "24856289-…", "country": "US", "verified_at": "2026-…"}

        The errors are those of `.delay(…).get(timeout)`.
        """
        args, kwargs = self.veil(args, kwargs)
        timeout = kwargs.pop("timeout", None)
        entry = _Entry.read(args, kwargs, {})
        here = await open_here()
        handle, storing = storing_code(entry.ledger, entry.code)
        await here.ledger(entry.named.account).run(*storing)
        packing = Packing()
        result = self._send(entry, handle, {"producer": packing.producer})
        await here.ledger().run_all(*packing.commands)
        stored = await wait_until_stored(self.backend.get_key_for_task(result.id).decode(), timeout)
        result._set_cache(self.backend.decode_result(stored))  # noqa: SLF001  # as Celery keeps what it has read
        confirmation: Confirmation = result.maybe_throw()
        return confirmation

    def _send(self, entry: "_Entry", handle: str, options: Mapping[str, Any]) -> ConfirmationResult:
        bound = entry.bound
        veiled = {
            "queue": QUEUE,
            "argsrepr": f"('{mask(entry.named.number)}',)",
            "kwargsrepr": str(bound) if bound else "{…}",
        }
        with tracing.span(CONFIRM, "PRODUCER") as trace:
            if trace:
                options = {**options, "headers": {**(options.get("headers") or {}), "traceparent": trace}}
            result: ConfirmationResult = super().apply_async(
                (entry.named.number,), {"handle": handle, **bound}, **{**options, **veiled}
            )
            return result

    def AsyncResult(self, task_id: str, **options: Any) -> ConfirmationResult:  # noqa: N802  # Celery's name
        """Return the result of a confirmation again, by its id. Raises `InvalidRequest` for that of a verification."""
        if parse_result_id(task_id):
            raise errors.InvalidRequest("task_id", mask_id(task_id), _NOT_OF_A_CONFIRMATION)
        return ConfirmationResult(task_id, **{"backend": self.backend, "app": self.app} | options)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A code that is entered, with what the message says of it."""

    named: ResultId
    ledger: Ledger
    code: SecretStr

    @classmethod
    def read(cls, args: Sequence[Any], kwargs: Mapping[str, Any], options: dict[str, Any]) -> Self:
        """Check the arguments, and Celery's options, without their queue. Raises `InvalidRequest`."""
        reject_options(options, _REMEDIES)
        if options.pop("queue", None) not in {None, QUEUE}:
            raise errors.InvalidRequest("queue", "given", f"leave it out: confirmations always go to {QUEUE}")
        given = _arguments(*args, **kwargs)
        try:
            named = _named_by(given)
            ledger = runtime.ledger(named.account)
        except errors.InvalidRequest as error:
            raise _without_code(error, given) from None
        return cls(named, ledger, check_code(given["code"]))

    @property
    def bound(self) -> dict[str, Any]:
        """What the message says beside the number and the code."""
        both = ("request", "account")
        return {name: value for name in both if (value := getattr(self.named, name)) is not None}


def _arguments(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the arguments by their names. Raises `InvalidRequest`, which shows none of them."""
    named = dict(zip(_NAMES, args, strict=False))
    arguments = named | kwargs
    are_complete = {"phone_number", "code"} <= arguments.keys() <= set(_NAMES)
    if len(args) > len(_NAMES) or named.keys() & kwargs.keys() or not are_complete:
        raise errors.InvalidRequest("arguments", "they are others", ARGUMENTS)
    return arguments


def _named_by(given: Mapping[str, Any]) -> ResultId:
    """Return the number, its request and its account, as these arguments name them. Raises `InvalidRequest`.

    The id of a request may stand in the number's place. As `request` None is refused: the caller has lost the id.
    """
    region = optional_region(given.get("region")) or runtime.region()
    account = None if given.get("account") is None else check_name(given["account"])
    if "request" not in given:
        written, request = number_of(given["phone_number"], account, region)
        return ResultId(parse(written, region).e164, request, account)
    named = parse_result_id(given["request"]) if isinstance(given["request"], str) else None
    if named is not None and account is None:
        account = named.account
    written, request = number_of(given["phone_number"], account, region)
    number = parse(written, region).e164
    if named and named.request is not None and named == ResultId(number, request or named.request, account):
        return named
    raise errors.InvalidRequest("request", mask_value(given["request"]), _REQUEST)


def _without_code(error: errors.InvalidRequest, given: Mapping[str, Any]) -> errors.InvalidRequest:
    """Return the error of an argument; without its value if that may be the code, in another's place."""
    value = given.get(error.field)
    if not (isinstance(value, str) and is_code(value)):
        return error
    if isinstance(error, errors.InvalidNumber):
        return errors.InvalidNumber(error.reason, NOT_SHOWN)
    return errors.InvalidRequest(error.field, NOT_SHOWN, error.remedy)


def _restored(task_id: str) -> ConfirmationResult:
    return confirm_verification.AsyncResult(task_id)


@enqueued(ConfirmationTask, CONFIRM, errors.InvalidRequest, errors.NotConfirmed)
def confirm_verification(self: ConfirmationTask, *args: Any, **kwargs: Any) -> Confirmation:
    """Have Plivo verify a number by the code that its user entered.

        confirm_verification.delay(phone_number, code, region=None, request=verification.id, account=None)

    With `request`, only the code that was sent for this request verifies the number; its id names the account, too.
    The result is an ordinary one of Celery's, without the number and the code. `.get()` raises a `NotConfirmed` if the
    number was not verified.
    """
    result: Confirmation = self.perform(*args, **kwargs)
    return result
