"""Has replicas of Redis confirm what a failover must not forget, before anybody acts on it.

A primary answers before its replicas have what it has written. If one of them takes over then, it knows nothing of it:
a number whose code was sent would get a second one. So `WAIT` follows such a script, on the connection that wrote.
"""

import math
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self
from weakref import WeakKeyDictionary, ref

import redis
from redis.commands.core import Script

from ringproof.clock import boot_clock
from ringproof.ledger.connection import cause_of
from ringproof.ledger.in_one_go import in_one_go
from ringproof.ledger.keys import FOLLOWED
from ringproof.ledger.line import BlockingLine, Line

CONFIRMED: Final = frozenset(
    {
        *("number/begin", "number/accept", "number/cancel_many", "number/erase"),
        *("batch/finish_import", "batch/retry_rows", "batch/save_resend", "batch/set_budget"),
        *("batch/change_state", "batch/cancel_rows", "batch/erase_row"),
        *("pace/pause", "pace/set_limits"),
    }
)
"""The scripts whose changes a failover must not forget: what is about to be sent, and what somebody was promised.

Results of attempts are not among them: a number whose result is forgotten is in doubt, and gets no second code. But one
request that is cancelled is such a result, and is promised: see `Ledger.cancel`.
"""

CHECKED_FIRST: Final = frozenset({"number/begin", "number/accept"})
"""They are not run while too few replicas are known to follow. An operator's pause is made all the same."""

WAIT_SECONDS: Final = 1.0
"""How long replicas may take. Slots are given for callers that are no farther away, and people wait for an accept."""

LOOK_SECONDS: Final = 2.0
"""How often a connection looks how many replicas follow. It does so with its next script, in the same round trip. A new
connection looks first, because it may lead to another Redis.
"""

LOST_SECONDS: Final = 30.0
"""If RINGPROOF_REPLICAS is not set, a replica has to confirm for so long after it was last seen. It may have become the
primary: Sentinel makes a replica of the old one 10 to 20 s later, and what that one has written since is lost.
"""

SILENT_SECONDS: Final = 3
"""A replica says once a second how far it is. One that has been silent for longer confirms nothing now."""


@dataclass(frozen=True, slots=True)
class Performed:
    """A script's answer, and when it came, and was confirmed: moments of `boot_clock()`.

    `missing` says why too few replicas have confirmed it; "" if enough have.
    """

    answer: Any
    answered_at: float
    confirmed_at: float
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Replicas:
    """The replicas of one primary, as it lists them. `history` is the id of what it has written since it became one."""

    history: str
    following: int  # connected, and past their first copy
    answering: int  # of these, the ones that have answered lately

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Self:
        """Read them from the answer to INFO."""
        listed = [one for name, one in info.items() if name.startswith("slave") and isinstance(one, dict)]
        # Port 0 is `redis-cli --rdb`, which makes a back-up: it never confirms anything, and is gone a moment later.
        following = [one for one in listed if one.get("state") == "online" and one.get("port") != 0]
        answering = [one for one in following if int(one.get("lag", 0)) <= SILENT_SECONDS]
        return cls(str(info.get("master_replid", "")), len(following), len(answering))


class ReplicasMissing(Exception):
    """Too few replicas follow, so that the script was not run. The text says how many."""


def replication_of(client: redis.Redis, wanted: int | None) -> "Replication":
    """Return what is known of the replicas of a client's Redis. All ledgers of the client share it."""
    with _lock:
        known = _of_client.get(client)
        if known is None or known.wanted != wanted:
            known = _of_client[client] = Replication(client, wanted)
        return known


class Replication:
    """How many replicas have to confirm what this process writes, and their confirmations. Thread-safe.

    `wanted` is RINGPROOF_REPLICAS: None for as many as follow, but one at most. With 0 nothing is looked at.
    """

    def __init__(self, client: redis.Redis, wanted: int | None) -> None:
        self.wanted = wanted
        self._reference = ref(client)
        self._followed_at: defaultdict[str, float] = defaultdict(lambda: -math.inf)  # by the primary's history
        self._seen: WeakKeyDictionary[Any, _Seen] = WeakKeyDictionary()  # by connection
        self._is_short = False

    def needed(self, replicas: Replicas | None) -> int:
        """Return how many replicas have to confirm what is written to the primary of these."""
        if self.wanted is not None:
            return self.wanted
        if replicas is None:
            return 0
        return int(replicas.following > 0 or boot_clock() < self._followed_at[replicas.history] + LOST_SECONDS)

    def look(self) -> Replicas | None:
        """Ask Redis for its replicas; None without the right to INFO. Raises redis-py's errors."""
        try:
            replicas = Replicas.of(self._client.info("replication"))
            self._note(replicas, self._client.get(FOLLOWED))
        except redis.ResponseError:
            return None
        return replicas

    def perform(self, name: str, script: Script, keys: Sequence[str], args: Sequence[Any], channel: str) -> Performed:
        """Run a script, and have replicas confirm it, with all that was written before. Nobody listens to `channel`.

        Raises `ReplicasMissing` if too few follow, and the script is one of CHECKED_FIRST; and redis-py's errors.
        """
        if self.wanted == 0:
            answer = script(keys, args)
            now = boot_clock()
            return Performed(answer, now, now)
        pool: Any = self._client.connection_pool
        connection = pool.get_connection()
        is_usable = False
        try:
            performed = in_one_go(self.converse(BlockingLine(connection), name, script, keys, args, channel))
            is_usable = not performed.missing
        except redis.ResponseError:
            is_usable = True  # all answers are read
            raise
        else:
            return performed
        finally:
            if not is_usable:  # behind a Sentinel another Redis may be the primary by now: a new connection asks
                connection.disconnect()
                pool.disconnect(inuse_connections=False)
            pool.release(connection)

    async def converse(
        self, line: Line, name: str, script: Script, keys: Sequence[str], args: Sequence[Any], channel: str
    ) -> Performed:
        """Run a script on one connection, as `perform` does. If it raises, or something is missing, end the connection.

        An answer that is a refusal is raised as redis-py's ResponseError: after it the connection can be used again.
        """
        seen = self._seen.get(line.connection)
        if seen is None or seen.socket is not line.socket:
            seen = await self._look(line)
        if name in CHECKED_FIRST:
            seen = await self._check(line, seen, channel)
        needed, looks = self.needed(seen.replicas), boot_clock() > seen.at + LOOK_SECONDS
        answers = await line.ask(
            *(_LOOK if looks else []),
            ["EVALSHA", script.sha, len(keys), *keys, *args],
            *(_confirmation(needed, channel) if needed else []),
        )
        if looks:
            seen = self._note_on(line, *(answers.pop(0)[0] for _ in _LOOK))
        answer, answered_at = answers[0]
        if isinstance(answer, redis.exceptions.NoScriptError):
            await line.ask(["SCRIPT", "LOAD", script.script])
            return await self.converse(line, name, script, keys, args, channel)
        if isinstance(answer, redis.ResponseError):
            raise answer
        if needed:
            missing = await self._missing(line, channel, needed, answers[-1][0])
        else:
            missing = await self._missing(line, channel, self.needed(seen.replicas))  # one may follow since
        return Performed(answer, answered_at, boot_clock(), missing)

    async def _check(self, line: Line, seen: "_Seen", channel: str) -> "_Seen":
        """Raise `ReplicasMissing` while too few replicas follow, or none confirms."""
        if not self._is_short and not self._too_few(seen):
            return seen
        seen = await self._look(line)
        if self._too_few(seen):
            self._is_short = True
            following = seen.replicas.following if seen.replicas else 0
            raise ReplicasMissing(f"{following} of {self.needed(seen.replicas)} replicas follow")
        if missing := await self._missing(line, channel, self.needed(seen.replicas)):
            raise ReplicasMissing(missing)
        return seen

    def _too_few(self, seen: "_Seen") -> bool:
        return seen.replicas is not None and seen.replicas.following < self.needed(seen.replicas)

    async def _missing(self, line: Line, channel: str, needed: int, confirmed: Any = None) -> str:
        """Return why too few replicas have confirmed what was written; "" if enough have.

        `confirmed` is the answer to WAIT; None if Redis was not asked yet. It is judged by what was asked for: what
        Redis lists afterwards counts for the next script, since it may have become another primary meanwhile.
        """
        if confirmed is None and needed:
            confirmed = (await line.ask(*_confirmation(needed, channel)))[-1][0]
        is_enough = not needed or (isinstance(confirmed, int) and confirmed >= needed)
        self._is_short = not is_enough
        if is_enough:
            return ""
        await self._look(line)
        if isinstance(confirmed, redis.ResponseError):
            return cause_of(confirmed)
        return f"{confirmed} of {needed} replicas confirmed it within {WAIT_SECONDS:.0f} s"

    async def _look(self, line: Line) -> "_Seen":
        return self._note_on(line, *(answer for answer, _ in await line.ask(*_LOOK)))

    def _note_on(self, line: Line, info: Any, followed: Any) -> "_Seen":
        """Note the answers to _LOOK. Without the right to INFO nobody sees replicas."""
        replicas = None
        if not isinstance(info, redis.ResponseError):
            replicas = Replicas.of(self._client.response_callbacks["INFO"](info))
            self._note(replicas, followed)
        seen = self._seen[line.connection] = _Seen(replicas, boot_clock(), line.socket)
        return seen

    def _note(self, replicas: Replicas, followed: Any) -> None:
        """Note since when no replica follows a primary. A worker may have seen one lately, and this process not."""
        if replicas.following or (followed == replicas.history and replicas.history not in self._followed_at):
            self._followed_at[replicas.history] = boot_clock()

    @property
    def _client(self) -> redis.Redis:
        client = self._reference()
        assert client is not None  # noqa: S101  # its ledger has it
        return client


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a connection has last seen, when, and by which socket: a new one may lead to another Redis."""

    replicas: Replicas | None
    at: float
    socket: Any


_LOOK: Final = (["INFO", "replication"], ["GET", FOLLOWED])

_lock = threading.Lock()
_of_client: WeakKeyDictionary[redis.Redis, Replication] = WeakKeyDictionary()


def _confirmation(count: int, channel: str) -> list[list[Any]]:
    """Return the commands that wait for so many replicas. Nobody listens to the channel.

    From Redis 7.2 on, WAIT counts from the last write of its connection. A script that is repeated may write
    nothing, and its first run was on another connection. So a message goes first: it is passed to replicas as a
    write is.
    """
    return [["PUBLISH", channel, ""], ["WAIT", count, round(WAIT_SECONDS * 1000)]]
