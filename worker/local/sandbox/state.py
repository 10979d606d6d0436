"""What the sandbox remembers: the codes it gave out, the phones they went to, who is verified, and the limit.

An operation that Plivo would refuse raises `RefusalError` with the status. The statuses and texts of a
refused completion are inventions, since Plivo documents none: an unknown uuid is 404; a wrong and an expired
code are both 400 (a client that told them apart by status would rely on what nobody has seen); a code that
was already used is 409. So is the cap: after 5 wrong codes a verification is dead, and 400 for the right code,
too. A caller ID that is verified again keeps its `created_at` and its place in the list, and takes the new alias,
subaccount and uuid.
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

from worker.local.sandbox.misfortunes import Misfortune, MisfortuneKind
from worker.local.sandbox.people import Answers, Entry, People
from worker.local.sandbox.switches import Switches

CODE_LIVES_SECONDS = 15 * 60  # "valid for 15 minutes", says Plivo's message, and no field does
WRONG_CODES = 5  # SignalWire's cap; Vonage's is 3, and Plivo documents none
ARRIVALS_KEPT = 100_000  # half an hour at 300 requests per 5 s, in some 30 MB
NS = 1_000_000_000


class RefusalError(Exception):
    """Plivo would refuse it with `status`, `error` and `headers`; nothing was sent, nothing was changed."""

    def __init__(self, status: int, error: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, error, headers)
        self.status, self.error, self.headers = status, error, headers


class Clock:
    """The sandbox's time of day, which can be moved; the limit is judged by a clock that cannot."""

    def __init__(self) -> None:
        self.offset_seconds = 0.0

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return time.time_ns() + round(self.offset_seconds * NS)

    def now(self) -> float:
        """Seconds since 1970."""
        return self.now_ns() / NS


class Window:
    """A strict sliding limit: no closed window of `seconds`, wherever it begins, holds more than `limit`."""

    def __init__(self) -> None:
        self._accepted: deque[float] = deque()

    def admit(self, arrived: float, limit: int, seconds: float) -> float:
        """0 if what arrived then (monotonic seconds) is accepted; otherwise the seconds until it would be."""
        accepted = self._accepted
        while accepted and arrived - accepted[0] > seconds:
            accepted.popleft()
        if len(accepted) < limit:
            accepted.append(arrived)
            return 0.0
        return math.nextafter(seconds - (arrived - accepted[-limit]), math.inf)


@dataclass(slots=True, repr=False)
class Arrival:
    """One request to /v1, noted when it arrived, after the latency; `status` None: no answer (as yet).

    `at` is the sandbox's clock, `monotonic` this machine's, by which the limit is judged. `misfortune` is what
    befell it.
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
    """One code on its way to one phone: an entry of the ledger, and the pending verification."""

    at: float
    phone_number: str
    channel: str
    verification_uuid: str
    code: str
    alias: str
    subaccount: str
    completed: bool = False
    wrong_codes: int = 0

    def as_json(self) -> dict[str, Any]:
        """The ledger's entry."""
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
        """When it was first completed; complete gives 9 digits of a second, get and list give 6."""
        return _rfc3339(self.created_ns, digits)

    def as_json(self) -> dict[str, Any]:
        """Its fields as get and list give them, without `api_id`."""
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
    """A time in nanoseconds since 1970 as Plivo writes it: UTC, with 6 or 9 digits of a second."""
    seconds, fraction = divmod(ns, NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{f'{fraction:09d}'[:digits]}Z"


def _country(number: str) -> str:
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number)) or ""
    except phonenumbers.NumberParseException:  # digits enough for the sandbox, of no country's plan
        return ""


class SandboxState:
    """The whole state of one sandbox, one account; used from one thread."""

    def __init__(self, switches: Switches, people: People | None = None) -> None:
        self._first_switches, self.people = switches, people
        self.reset()

    def reset(self) -> None:
        """Back to the first moment: nothing is remembered, switches and clock are as at the start."""
        self.switches = self._first_switches
        self.clock = Clock()
        self.sends: list[Send] = []
        self.answers = Answers()
        self.misfortunes: list[Misfortune] = []
        self.arrivals: deque[Arrival] = deque(maxlen=ARRIVALS_KEPT)
        self.requests = 0
        self.refused_429 = 0
        self._window = Window()
        self._by_uuid: dict[str, Send] = {}
        self._inboxes: dict[str, list[Send]] = {}
        self._verified: dict[str, VerifiedEntry] = {}

    def arrive(self, method: str, kind: str, user_agent: str) -> Arrival:
        """Note that a request is here, now."""
        arrival = Arrival(self.clock.now(), time.monotonic(), method, kind, user_agent)
        self.arrivals.append(arrival)
        self.requests += 1
        return arrival

    def admit(self, arrival: Arrival) -> float:
        """0 if it is within the limit; otherwise the seconds until it would be, and it counts as refused."""
        wait = self._window.admit(arrival.monotonic, self.switches.limit, self.switches.window_seconds)
        if wait:
            self.refused_429 += 1
        return wait

    def befall(self, arrival: Arrival, number: str | None = None) -> Misfortune | None:
        """What befalls this request, which is about `number` or about none; it is noted with it.

        The first armed misfortune that fits, and one is taken off its `times`.
        """
        found = next((one for one in self.misfortunes if one.befalls(arrival.kind, number)), None)
        if found:
            arrival.misfortune = found.kind
            if found.times is not None:
                found.times -= 1
                if not found.times:
                    self.misfortunes.remove(found)
        return found

    def send(self, number: str, channel: str, alias: str, subaccount: str) -> Send:
        """Send a new code to `number` (`+` and digits); asked twice, it sends twice, as Plivo does."""
        length = self.switches.code_length
        code = f"{random.randrange(10**length):0{length}d}"
        send = Send(self.clock.now(), number, channel, str(uuid.uuid4()), code, alias, subaccount)
        self.sends.append(send)
        self._by_uuid[send.verification_uuid] = send
        inbox = self._inboxes.setdefault(number, [])
        inbox.append(send)
        decided = self.people.answer(number, code, len(inbox)) if self.people else None
        if decided:
            after, entered = decided
            self.answers.add(send.at, after, Entry(number, send.verification_uuid, entered, entered == code))
        return send

    def number_of(self, verification_uuid: str) -> str | None:
        """The number that this verification is of; None if there is none."""
        send = self._by_uuid.get(verification_uuid)
        return send.phone_number if send else None

    def complete(self, verification_uuid: str, otp: str) -> tuple[Send, VerifiedEntry]:
        """Verify a number by the code of this very send; RefusalError as the module says."""
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
        """Whether this code would be taken now."""
        spent = send.completed or send.wrong_codes >= WRONG_CODES
        return not spent and self.clock.now() < send.at + CODE_LIVES_SECONDS

    def verified(self, number: str) -> VerifiedEntry:
        """The verified caller ID; a number that was never completed is a RefusalError 404."""
        try:
            return self._verified[number]
        except KeyError:
            raise RefusalError(404, "no verified caller ID with this number") from None

    def update(self, number: str, alias: str, subaccount: str) -> VerifiedEntry:
        """Give a verified caller ID what is not empty of these; it keeps its place in the list. Or a 404."""
        caller_id = self.verified(number)
        caller_id.alias, caller_id.subaccount = alias or caller_id.alias, subaccount or caller_id.subaccount
        caller_id.modified_ns = self.clock.now_ns()
        return caller_id

    def delete(self, number: str) -> None:
        """Forget a verified caller ID; its codes that live can still be completed. Or a 404."""
        del self._verified[self.verified(number).phone_number]

    def page(self, limit: int, offset: int, wanted: Mapping[str, str]) -> tuple[list[VerifiedEntry], int]:
        """Verified caller IDs with these very fields, newest first, and how many there are in all."""
        found = [
            one
            for one in reversed(self._verified.values())
            if all(getattr(one, name) == value for name, value in wanted.items())
        ]
        return found[offset : offset + limit], len(found)

    def inbox(self, number: str) -> dict[str, Any]:
        """What this phone has received, newest last, and which of the codes would still be taken."""
        sends = self._inboxes.get(number, [])
        return {
            "phone_number": number,
            "inbox": [
                {
                    "at": send.at,
                    "channel": send.channel,
                    "text": f"Your Plivo verification code is {send.code}. It is valid for 15 minutes.",
                    "code": send.code,
                    "verification_uuid": send.verification_uuid,
                    "live": self.is_live(send),
                }
                for send in sends
            ],
            "live_codes": [send.code for send in sends if self.is_live(send)],
        }
