"""A text that no repr, no log and no crash report shows."""

from typing import Final, Protocol

_SHOWN: Final = "**********"


class SecretStr:
    """A secret: a code, a token, or a URL with a password.

    >>> SecretStr("482913"), str(SecretStr("482913")), SecretStr("482913").get_secret_value()
    (SecretStr('**********'), '**********', '482913')
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def get_secret_value(self) -> str:
        """Return the text."""
        return self._secret

    def __repr__(self) -> str:
        return f"SecretStr('{_SHOWN}')"

    def __str__(self) -> str:
        return _SHOWN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and self._secret == other._secret

    def __hash__(self) -> int:
        return hash(self._secret)


class SecretText(Protocol):
    """What keeps a text secret: a `SecretStr`, Ringproof's or pydantic's."""

    def get_secret_value(self) -> str:
        """Return the text."""
