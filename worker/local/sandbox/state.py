"""The sandbox's memory: the codes that it sent, the phones that got them, the verified numbers, and the limit.

An operation that Plivo would refuse raises `RefusalError` with the status. Plivo does not document how it refuses a
completion, so these statuses and texts are invented:

- an unknown uuid is 404;
- a wrong code and an expired code are both 400, so that no client can learn to distinguish them by a status that
  Plivo may not have;
- a code that was already used is 409;
- after 5 wrong codes a verification is dead, and the right code is 400, too.

A number that is verified again keeps its `created_at` and its place in the list, and gets the new alias, subaccount and
uuid.
"""

import math
import random
import time
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import phonenumbers

from worker.local.sandbox.magic_numbers import magic_misfortune
from worker.local.sandbox.misfortunes import Misfortune, MisfortuneKind
from worker.local.sandbox.people import Entries, Entry, People
from worker.local.sandbox.switches import Switches
from worker.plivo_http.answers import RefusalError

CODE_LIVES_SECONDS = 15 * 60  # Plivo's message says "valid for 15 minutes"; no field has it
WRONG_CODES = 5  # SignalWire's cap; Vonage's is 3, and Plivo documents none
ARRIVALS_KEPT = 100_000  # half an hour at 300 requests per 5 s, in some 30 MB
NS = 1_000_000_000


class Clock:
    """The sandbox's time of day, which a client can move. The limit uses another clock, which no client can move."""

    def __init__(self) -> None:
        self.offset_seconds = 0.0

    def now_ns(self) -> int:
        """Return the nanoseconds since 1970."""
        return time.time_ns() + round(self.offset_seconds * NS)

    def now(self) -> float:
        """Return the seconds since 1970."""
        return self.now_ns() / NS


class Window:
    """A strict sliding limit: no closed window of `seconds`, wherever it begins, has more than `limit` requests."""

    def __init__(self) -> None:
        self._accepted: deque[float] = deque()

    def admit(self, arrived: float, limit: int, seconds: float) -> float:
        """Return 0 if it accepts a request that `arrived` then (monotonic seconds), or the seconds until it would."""
        accepted = self._accepted
        while accepted and arrived - accepted[0] > seconds:
            accepted.popleft()
        if len(accepted) < limit:
            accepted.append(arrived)
            return 0.0
        return math.nextafter(seconds - (arrived - accepted[-limit]), math.inf)


@dataclass(slots=True, repr=False)
class Arrival:
    """One request to /v1, at its arrival after the latency. `status` None: it has no answer, or none yet.

    `at` is the sandbox's clock; `monotonic` is this machine's, which decides the limit. `misfortune` is the one that
    happened to the request.
    """

    at: float
    monotonic: float
    method: str
    kind: str
    user_agent: str
    status: int | None = None
    misfortune: MisfortuneKind | None = None


@dataclass(slots=True, repr=False)
class Send:
    """One code that was sent to one phone: an entry of the ledger, and the verification that it belongs to."""

    at: float
    phone_number: str
    channel: str
    verification_uuid: str
    code: str
    alias: str
    subaccount: str
    completed: bool = False
    wrong_codes: int = 0

    @property
    def ends_at(self) -> float:
        """When its code ends, by the sandbox's clock."""
        return self.at + CODE_LIVES_SECONDS

    @property
    def text(self) -> str:
        """The words that the phone gets. They are invented: Plivo does not document its own."""
        return f"Your Plivo verification code is {self.code}. It is valid for 15 minutes."

    def as_json(self) -> dict[str, Any]:
        """Return the ledger's entry."""
        entry = asdict(self)
        del entry["completed"], entry["wrong_codes"]
        return entry


@dataclass(slots=True, repr=False)
class VerifiedEntry:
    """A number whose verification was completed; created is its first completion, modified is its last."""

    phone_number: str
    alias: str
    subaccount: str
    country: str
    verification_uuid: str
    created_ns: int
    modified_ns: int

    def created_at(self, digits: int) -> str:
        """Return the time of its first completion; complete has 9 digits of a second, get and list have 6."""
        return _rfc3339(self.created_ns, digits)

    def as_json(self) -> dict[str, Any]:
        """Return its fields as get and list have them, without `api_id`."""
        return {
            "alias": self.alias,
            "country": self.country,
            "created_at": self.created_at(digits=6),
            "modified_at": _rfc3339(self.modified_ns, 6),
            "phone_number": self.phone_number,
            "subaccount": self.subaccount,
            "verification_uuid": self.verification_uuid,
        }


def _rfc3339(ns: int, digits: int) -> str:
    """Return nanoseconds since 1970 as Plivo writes a time: UTC, with 6 or 9 digits of a second."""
    seconds, fraction = divmod(ns, NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{f'{fraction:09d}'[:digits]}Z"


def _country(number: str) -> str:
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number)) or ""
    except phonenumbers.NumberParseException:  # enough digits for the sandbox, but a number of no country
        return ""


class SandboxState:
    """The whole state of one sandbox, one account; used from one thread."""

    def __init__(self, switches: Switches, people: People | None = None) -> None:
        self._first_switches, self.people = switches, people
        self.reset()

    def reset(self) -> None:
        """Forget everything; switches and clock are again as at the start."""
        self.switches = self._first_switches
        self.clock = Clock()
        self.sends: list[Send] = []
        self.entries = Entries()
        self.misfortunes: list[Misfortune] = []
        self.arrivals: deque[Arrival] = deque(maxlen=ARRIVALS_KEPT)
        self.requests = 0
        self.refused_429 = 0
        self._window = Window()
        self._by_uuid: dict[str, Send] = {}
        self._inboxes: dict[str, list[Send]] = {}
        self._verified: dict[str, VerifiedEntry] = {}

    def arrive(self, method: str, kind: str, user_agent: str) -> Arrival:
        """Record that a request arrives now."""
        arrival = Arrival(self.clock.now(), time.monotonic(), method, kind, user_agent)
        self.arrivals.append(arrival)
        self.requests += 1
        return arrival

    def admit(self, arrival: Arrival) -> float:
        """Return 0 if it is within the limit; if not, count it as refused and return the seconds until it would be."""
        wait = self._window.admit(arrival.monotonic, self.switches.limit, self.switches.window_seconds)
        if wait:
            self.refused_429 += 1
        return wait

    def take_misfortune(self, arrival: Arrival, number: str | None = None) -> Misfortune | None:
        """Return the first armed misfortune that happens to this request (about `number`, or about none).

        The arrival records its kind, and its `times` goes down by one. If none is armed, a magic number has its own.
        """
        candidates = (armed for armed in self.misfortunes if armed.happens_to(arrival.kind, number))
        misfortune = next(candidates, None) or magic_misfortune(arrival.kind, number)
        if misfortune:
            arrival.misfortune = misfortune.kind
            if misfortune.times is not None:
                misfortune.times -= 1
                if not misfortune.times:
                    self.misfortunes.remove(misfortune)
        return misfortune

    def send(self, number: str, channel: str, alias: str, subaccount: str) -> Send:
        """Send a new code to `number` (`+` and digits). Two calls send two codes, as Plivo does.

        Raises `RefusalError` 403 for a number that the switch `refused` names.
        """
        if number.startswith(self.switches.refused):
            raise RefusalError(403, "this destination is not enabled")
        length = self.switches.code_length
        code = f"{random.randrange(10**length):0{length}d}"
        send = Send(self.clock.now(), number, channel, str(uuid.uuid4()), code, alias, subaccount)
        self.sends.append(send)
        self._by_uuid[send.verification_uuid] = send
        inbox = self._inboxes.setdefault(number, [])
        inbox.append(send)
        answer = self.people.answer(number, code, len(inbox)) if self.people else None
        if answer:
            after, entered = answer
            self.entries.add(send.at, after, Entry(number, send.verification_uuid, entered, entered == code))
        return send

    def number_of(self, verification_uuid: str) -> str | None:
        """Return the number of this verification; None if there is no such verification."""
        send = self._by_uuid.get(verification_uuid)
        return send.phone_number if send else None

    def complete(self, verification_uuid: str, otp: str) -> tuple[Send, VerifiedEntry]:
        """Verify a number by the code of this one send. Raises `RefusalError` as the module's docstring says."""
        send = self._by_uuid.get(verification_uuid)
        if send is None:
            raise RefusalError(404, "no such verification")
        if send.completed:
            raise RefusalError(409, "this verification is already completed")
        if send.wrong_codes >= WRONG_CODES:
            raise RefusalError(400, "too many wrong otps")
        if otp != send.code:
            send.wrong_codes += 1
            raise RefusalError(400, "the otp is wrong")
        if not self.is_live(send):
            raise RefusalError(400, "the otp has expired")
        send.completed = True
        now = self.clock.now_ns()
        before = self._verified.get(send.phone_number)
        caller_id = self._verified[send.phone_number] = VerifiedEntry(
            phone_number=send.phone_number,
            alias=send.alias,
            subaccount=send.subaccount,
            country=_country(send.phone_number),
            verification_uuid=verification_uuid,
            created_ns=before.created_ns if before else now,
            modified_ns=now,
        )
        return send, caller_id

    def is_live(self, send: Send) -> bool:
        """Whether the sandbox would accept this code now."""
        is_spent = send.completed or send.wrong_codes >= WRONG_CODES
        return not is_spent and self.clock.now() < send.ends_at

    def verified(self, number: str) -> VerifiedEntry:
        """Return the verified number. Raises `RefusalError` 404 for a number without a completed verification."""
        try:
            return self._verified[number]
        except KeyError:
            raise RefusalError(404, "no verified caller ID with this number") from None

    def update(self, number: str, alias: str, subaccount: str) -> VerifiedEntry:
        """Give a verified number the fields that are not empty; it keeps its place in the list.

        Raises `RefusalError` 404.
        """
        caller_id = self.verified(number)
        caller_id.alias, caller_id.subaccount = alias or caller_id.alias, subaccount or caller_id.subaccount
        caller_id.modified_ns = self.clock.now_ns()
        return caller_id

    def delete(self, number: str) -> None:
        """Forget a verified number; its live codes can still be completed. Raises `RefusalError` 404."""
        del self._verified[self.verified(number).phone_number]

    def page(self, limit: int, offset: int, wanted: Mapping[str, str]) -> tuple[list[VerifiedEntry], int]:
        """Return a page of the verified numbers with exactly these fields, newest first, and how many there are."""
        entries = [
            entry
            for entry in reversed(self._verified.values())
            if all(getattr(entry, name) == value for name, value in wanted.items())
        ]
        return entries[offset : offset + limit], len(entries)

    def inbox(self, number: str) -> dict[str, Any]:
        """Return the messages of this phone, newest last, and the codes that are still accepted."""
        sends = self._inboxes.get(number, [])
        return {
            "phone_number": number,
            "inbox": [
                {
                    "at": send.at,
                    "channel": send.channel,
                    "text": send.text,
                    "code": send.code,
                    "verification_uuid": send.verification_uuid,
                    "live": self.is_live(send),
                }
                for send in sends
            ],
            "live_codes": [send.code for send in sends if self.is_live(send)],
        }
