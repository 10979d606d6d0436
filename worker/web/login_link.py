"""A link that lets one person in to the live page: for a server of this machine, which prints it at its start."""

import secrets
from dataclasses import dataclass, field
from typing import Final

from ringproof.secret_str import SecretStr

TOKEN_BYTES: Final = 30


@dataclass(slots=True)
class LoginLink:
    """A link that works once. `actor` names its owner in the audit trail; sessions of the link name its `id`.

    Its owner sees `account`; None: the default account.

    Sessions end with the process, because the next one's link has another id.
    """

    actor: str
    account: str | None = None
    token: SecretStr = field(default_factory=lambda: SecretStr(secrets.token_urlsafe(TOKEN_BYTES)))
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    is_used: bool = False

    def path(self) -> str:
        """Return the path that a browser opens, with the token."""
        return f"/page/login?link={self.token.get_secret_value()}"

    def use(self, token: SecretStr) -> bool:
        """Whether the token is right, for the first time."""
        is_right = secrets.compare_digest(
            self.token.get_secret_value().encode(), token.get_secret_value().encode("utf-8", "replace")
        )
        if self.is_used or not is_right:
            return False
        self.is_used = True
        return True
