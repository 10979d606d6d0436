"""A strict Plivo in virtual time, in place of the client's transport: it knows the API and nothing of Ringproof.

It keeps the evidence for the promises: each code, until when it lives, and each request beyond the limit.
"""

import json
import random
import secrets
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from virtual_time import VirtualTime

from ringproof.errors import Unknown, Unreachable
from ringproof.plivo.transport import HttpAnswer

CODE_SECONDS = 15 * 60
TRAVEL_SECONDS = 0.045  # of a request, at most: the slots allow for 50 ms of it
ANSWER_SECONDS = 10.0  # the client's own limit


@dataclass
class Code:
    """A code that was sent."""

    number: str
    at: float
    uuid: str
    digits: str
    used_at: float | None = None

    def lives(self, now: float) -> bool:
        return self.used_at is None and now < self.at + CODE_SECONDS


@dataclass
class Weather:
    """What is wrong at present; the chances are those of one request."""

    refused_countries: set[str] = field(default_factory=set)
    knows_credentials: bool = True
    has_credit: bool = True
    is_reachable: bool = True
    path_is_right: bool = True
    chances: dict[str, float] = field(default_factory=dict)  # of 500, 500-sent, 400, 429, 503, lost, lost-sent


def _error(status: int, **headers: str) -> Any:
    return status, {"api_id": secrets.token_hex(8), "error": "refused"}, headers


class StrictPlivo:
    """`exchange` is what the client's transport has."""

    def __init__(self, time: VirtualTime, chance: random.Random, limit: int, window: float) -> None:
        self.time, self.chance = time, chance
        self.limit, self.window = limit, window
        self.weather = Weather()
        self.codes: dict[str, list[Code]] = defaultdict(list)
        self.verified: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, set[str]] = defaultdict(set)  # for each number, what its sends were answered
        self.arrived: deque[float] = deque()
        self.beyond_limit: list[tuple[float, str]] = []
        self.epoch = 1_800_000_000.0

    def code_alive(self, number: str) -> Code | None:
        return next((code for code in reversed(self.codes[number]) if code.lives(self.time.now)), None)

    def exchange(self, method: str, path: str = "", body: Any = None, before_first_byte: Any = None) -> HttpAnswer:
        """What `HttpTransport.exchange` does, with its errors."""
        self.time.sleep(self.chance.uniform(0.0, 0.02))  # it connects
        if not self.weather.is_reachable:
            raise Unreachable("no connection")
        if before_first_byte:
            before_first_byte()
        self.time.sleep(self.chance.uniform(0.0, TRAVEL_SECONDS))
        misfortune = self._misfortune()
        if misfortune == "lost":
            self._lose()
        if misfortune == "503":
            self._count()
            return self._later(503, {"api_id": secrets.token_hex(8), "error": "try again"})
        status, reply, headers = self._arrive(method, path, json.loads(body) if body else {}, misfortune)
        if misfortune == "lost-sent":
            self._lose()
        if misfortune == "500-sent":
            return self._later(500, {})
        return self._later(status, reply, headers)

    def close(self) -> None:
        """As the transport has it."""

    def _misfortune(self) -> str:
        at = self.chance.random()
        for name, share in self.weather.chances.items():
            if at < share:
                return name
            at -= share
        return ""

    def _lose(self) -> None:
        self.time.sleep(ANSWER_SECONDS)
        raise Unknown("no answer")

    def _later(self, status: int, reply: dict[str, Any], headers: dict[str, str] | None = None) -> HttpAnswer:
        self.time.sleep(self.chance.choice([0.02, 0.1, 0.4, 2.0]))
        return HttpAnswer(status, headers or {}, json.dumps(reply).encode())

    def _count(self) -> bool:
        """Count a request; return whether it is within the limit of every window that ends now."""
        now = self.time.now
        while self.arrived and self.arrived[0] <= now - self.window:
            self.arrived.popleft()
        self.arrived.append(now)
        if len(self.arrived) > self.limit:
            gap = now - self.arrived[0]
            self.beyond_limit.append((now, f"{len(self.arrived)} requests within {gap:.3f} s at {now:.3f}"))
            return False
        return True

    def _arrive(self, method: str, path: str, fields: dict[str, Any], misfortune: str) -> Any:
        number = str(fields.get("phone_number", ""))
        is_send = method == "POST" and not path
        refusal = self._refusal(misfortune) or (is_send and self._refusal_to_send(number, misfortune))
        if refusal:
            if is_send:
                self.answers[number].add(str(refusal[0]))
            return refusal
        if is_send:
            return self._send(number)
        if method == "POST":
            return self._complete(unquote(path.split("/")[1]), str(fields.get("otp")))
        if path.startswith("?"):
            return self._list(parse_qs(urlsplit(path).query))
        return self._one(method, f"+{path.strip('/')}")

    def _refusal(self, misfortune: str) -> Any:
        """Return the answer to any request, if something is wrong with the account, or with the pace."""
        if not self._count():
            return _error(429)
        if misfortune == "429":
            return _error(429, **self.chance.choice([{}, {"Retry-After": "9"}]))
        if not self.weather.path_is_right:
            return _error(404)
        return None if self.weather.knows_credentials else _error(401)

    def _refusal_to_send(self, number: str, misfortune: str) -> Any:
        if not self.weather.has_credit:
            return _error(402)
        if any(number.startswith(country) for country in self.weather.refused_countries):
            return _error(403)
        return _error(int(misfortune)) if misfortune in {"400", "500"} else None

    def _one(self, method: str, number: str) -> Any:
        if number not in self.verified:
            return _error(404)
        if method == "DELETE":
            del self.verified[number]
            return 204, {}, {"Content-Length": "0"}
        return 200, self.verified[number], {}

    def _send(self, number: str) -> Any:
        code = Code(number, self.time.now, secrets.token_hex(16), f"{self.chance.randrange(10**6):06d}")
        self.codes[number].append(code)
        self.answers[number].add("202")
        reply = {"api_id": secrets.token_hex(8), "message": "sent", "verification_uuid": code.uuid}
        return 202, reply, {}

    def _complete(self, uuid: str, otp: str) -> Any:
        for number, codes in self.codes.items():
            for code in codes:
                if code.uuid == uuid and code.lives(self.time.now) and code.digits == otp:
                    return 201, self.verify(number, code), {}
        return _error(404)

    def verify(self, number: str, code: Code) -> dict[str, Any]:
        """Mark a number as verified by this code."""
        code.used_at = self.time.now
        date = datetime.fromtimestamp(self.epoch + self.time.now, UTC).isoformat()
        self.verified.pop(number, None)
        self.verified[number] = {
            "phone_number": number[1:], "verification_uuid": code.uuid, "alias": "", "country": "", "subaccount": "",
            "created_at": date, "modified_at": date,
        }  # fmt: skip
        return self.verified[number]

    def _list(self, query: dict[str, list[str]]) -> Any:
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        newest_first = list(reversed(self.verified.values()))
        page = newest_first[offset : offset + limit]
        following = f"?limit={limit}&offset={offset + limit}" if len(newest_first) > offset + limit else None
        return 200, {"meta": {"next": following, "total_count": len(newest_first)}, "objects": page}, {}
