"""One world of the eager mode: a Redis in memory, the sandbox, the time, and who performs messages."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from ringproof import runtime
from ringproof.testing.at_once import AtOnce, load_bodies
from ringproof.testing.environment import Environment
from ringproof.testing.memory_redis import MemoryRedis
from ringproof.testing.plivo_in_process import SandboxInProcess
from ringproof.testing.sent import Sent, SentCode
from ringproof.testing.work import LUA_CLOCK, Work

if TYPE_CHECKING:
    from ringproof.plivo.client import PlivoClient
    from ringproof.settings import Settings
    from ringproof.testing.plivo import Plivo

load_bodies()


class World:
    """What the eager mode has in the place of Redis, the workers and Plivo. Thread-safe."""

    def __init__(self, own: Mapping[str, str]) -> None:
        self._redis = MemoryRedis()
        self._at_once = AtOnce()
        self._sandbox = SandboxInProcess()
        self.sent = Sent(self)
        self.environment = Environment(
            own,
            LUA_CLOCK,
            connect=self._redis.connect,
            connect_async=self._redis.connect_async,
            plivo=self._plivo,
            send_task=self._at_once.send,
        )

    def codes(self) -> list[SentCode]:
        """Return the codes that were sent, the oldest first."""
        return [
            SentCode(
                phone_number=send.phone_number,
                code=send.code,
                channel=send.channel,
                alias=send.alias or None,
                subaccount=send.subaccount or None,
                verification_uuid=send.verification_uuid,
                at=datetime.fromtimestamp(send.at, UTC),
            )
            for send in list(self._sandbox.state.sends)
        ]

    def misfortune(self, wanted: Mapping[str, Any]) -> None:
        """Have a misfortune happen to the next request to Plivo. Raises `InvalidRequest` for one that there is not."""
        self._sandbox.misfortune(wanted)

    def settle(self) -> None:
        """Do all that is to be done now."""
        self._work.settle()

    def travel(self, seconds: float) -> None:
        """Move the time ahead, from one moment at which something is due to the next."""
        self._work.travel(seconds)

    def move_clock(self, seconds: float) -> None:
        """Move Plivo's clock ahead: its codes get older."""
        self._sandbox.state.clock.offset_seconds += seconds

    @cached_property
    def _work(self) -> Work:
        return _WorkHere(cast("Plivo", self), runtime.settings().policy)  # it moves the clock of Plivo, no more

    def _plivo(self, _: "Settings") -> "PlivoClient":
        """Return the client of Plivo for any account."""
        return self._sandbox.client()


class _WorkHere(Work):
    """The work of a process that performs each message at once, so that nothing is ever under way."""

    def _at_work(self) -> Iterator[str]:
        yield from ()

    def _doing(self) -> Iterator[str]:
        if self._ledger.run("exists", self._ledger.keys.feeding):
            yield "a batch is fed"
