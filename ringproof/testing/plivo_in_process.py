"""Plivo of the eager mode: the sandbox as an object of this process. Its requests never see a socket."""

import base64
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.responses import StreamingResponse

from ringproof.errors import InvalidRequest, Unknown
from ringproof.plivo.client import PlivoClient
from ringproof.plivo.transport import Body, HttpAnswer
from ringproof.secret_str import SecretStr
from worker.local.sandbox.misfortune_answers import Answer
from worker.local.sandbox.misfortunes import Misfortune, MisfortuneKind
from worker.local.sandbox.resource import VerifiedCallerIdResource
from worker.local.sandbox.state import SandboxState
from worker.local.sandbox.switches import Switches
from worker.plivo_http.request import PlivoRequest

AUTH_ID: Final = "MAEAGER0000000000000"
AUTH_TOKEN: Final = "eager"  # noqa: S105  # the sandbox takes any
"""What the requests show to the sandbox, in the place of the program's own credentials."""

LOGIN: Final = b"Basic " + base64.b64encode(f"{AUTH_ID}:{AUTH_TOKEN}".encode())

SWITCHES: Final = Switches(limit=1_000_000, window_seconds=1)
"""Plivo's limit is the pace's matter. Here none of them makes a test wait."""


class SandboxInProcess:
    """One account at the sandbox. One thread uses it at a time."""

    def __init__(self) -> None:
        self.state = SandboxState(SWITCHES)
        self._resource = VerifiedCallerIdResource(self.state, None, lambda _: None)

    def client(self) -> PlivoClient:
        """Return a client of Plivo that asks this sandbox, and can ask nobody else."""
        return PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN), transport=self)

    def misfortune(self, wanted: Mapping[str, Any]) -> None:
        """Have a misfortune happen to the next request. Raises `InvalidRequest` for one that there is not."""
        misfortune = Misfortune.from_json(wanted)
        if misfortune.kind is MisfortuneKind.REFUSED:
            raise InvalidRequest("kind", repr(str(misfortune.kind)), "'503': here is no connection to refuse")
        self.state.misfortunes.append(misfortune)

    def exchange(
        self,
        method: str,
        path: str = "",
        body: Body | None = None,
        before_first_byte: Callable[[], None] | None = None,  # noqa: ARG002  # nothing is sent, so no slot is used
    ) -> HttpAnswer:
        """Have the sandbox answer one request. Raises `Unknown` if it gives no answer."""
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": f"/v1/Account/{AUTH_ID}/VerifiedCallerId/{path}",
            "query_string": query.encode(),
            "headers": [(b"authorization", LOGIN)],
            "client": ("", 0),
        }
        return _without_a_wire(self._resource.answer_to(PlivoRequest.read(scope, body or b"")), scope)

    def close(self) -> None:
        """Do nothing: there is no connection."""


def _without_a_wire(answer: Answer, scope: dict[str, Any]) -> HttpAnswer:
    """Return what a client gets of an answer."""
    if answer.status_code is None:
        raise Unknown("no answer: the connection was lost")
    if isinstance(answer, StreamingResponse):  # its pieces come too slowly, or are too many
        return HttpAnswer(answer.status_code, answer.headers, None)
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with suppress(StopIteration):  # it waits for nothing
        answer(scope, receive, send).send(None)
    head, *pieces = messages
    body = b"".join(piece.get("body", b"") for piece in pieces) if pieces else None
    return HttpAnswer(answer.status_code, Headers(raw=head["headers"]), body)
