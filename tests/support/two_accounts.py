"""Two accounts beside the default one, for tests: acme in the same Redis, and globex in a Redis of its own."""

import json
from pathlib import Path

from ringproof.ledger.answers import Outcome, Settlement, Verdict
from ringproof.ledger.connection import connect
from ringproof.ledger.keys import Keys
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import State
from ringproof.policy import Policy, Rate
from worker.local.processes.redis_server import RedisServer

ACME, GLOBEX = "MAACMEXXXXXXXXXXXX42", "MAGLOBEXXXXXXXXXXX43"
TOKENS = {"acme": "acmes-token-that-nobody-may-see", "globex": "globexs-token-that-nobody-may-see"}
UUID = "11111111-2222-3333-4444-555555555555"
FAST = Policy(rate=Rate.parse("100000/1s"), range_codes_per_hour=0, country_codes_per_hour=0, breaker_percent=0)


class TwoAccounts:
    """Their file, their Redis, and their ledgers by name: `accounts.ledgers["acme"]`; None is the default one's."""

    def __init__(self, folder: Path, **fields: str) -> None:
        self.file = folder / "accounts.toml"
        self.server, self.other = RedisServer(has_config=True).start(), RedisServer().start()
        self.sections = {
            "acme": {"auth_id": ACME, "auth_token": TOKENS["acme"], **fields},
            "globex": {"auth_id": GLOBEX, "auth_token": TOKENS["globex"], "ledger": self.other.url, **fields},
        }
        self.write()
        urls = {None: self.server.url, "acme": self.server.url, "globex": self.other.url}
        self.ledgers = {
            name: Ledger(connect(url), prefix=Keys.of_account("ringproof", name).prefix if name else "ringproof")
            for name, url in urls.items()
        }
        for ledger in self.ledgers.values():
            ledger.publish_policy(FAST)

    @property
    def environ(self) -> dict[str, str]:
        """What a process of this installation has in its environment, beside other things."""
        return {"RINGPROOF_REDIS_URL": self.server.url, "RINGPROOF_ACCOUNTS": str(self.file)}

    def write(self) -> None:
        """Write the file as `sections` has it."""
        lines = []
        for name, fields in self.sections.items():
            lines += [f"[{name}]", *(f"{field} = {json.dumps(value)}" for field, value in fields.items())]
        self.file.write_text("\n".join(lines) + "\n")

    def send(self, account: str | None, number: str, request: int | None = None) -> int:
        """Have a code sent in an account's ledger, as a worker does; return the request."""
        ledger = self.ledgers[account]
        request = request or ledger.accept(number, token=f"{account} {number}").request
        (begun,) = ledger.begin([(number, request)])
        assert begun.verdict is Verdict.BEGUN
        sent = Outcome(State.CODE_SENT, verification_uuid=UUID, api_id=UUID)
        ledger.settle_many([Settlement(number, request, begun.fence, sent)])
        return request

    def close(self) -> None:
        for ledger in self.ledgers.values():
            ledger.client.close()
        self.server.close()
        self.other.close()
