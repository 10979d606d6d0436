"""Tests of an application that uses Ringproof: the fixtures of the pytest plugin, and the eager mode.

    def test_sign_up(client, ringproof, phones):
        client.post("/sign-up", data={"phone": "+14155550123"})
        client.post("/confirm", data={"code": phones.last_code("+14155550123")})
        assert is_verified("+14155550123")

The fixtures `ringproof` and `phones` bring a real worker, a real Redis and the sandbox; their types are `Ringproof` and
`Phones`. `eager` does without them:

    with ringproof.testing.eager() as sent:
        initiate_verification.delay("+14155550123")
        assert sent[0].phone_number == "+14155550123"

The extra `testing` brings what they need, and pytest finds the plugin by itself. Importing this package loads neither
Celery nor Redis.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ringproof.testing.eager_mode import eager, sent_codes
    from ringproof.testing.phones import Message, Phones
    from ringproof.testing.ringproof import Ringproof
    from ringproof.testing.sent import Sent, SentCode

__all__ = ["Message", "Phones", "Ringproof", "Sent", "SentCode", "eager", "sent_codes"]

_MODULES: Final = {
    "Message": "phones",
    "Phones": "phones",
    "Ringproof": "ringproof",
    "Sent": "sent",
    "SentCode": "sent",
    "eager": "eager_mode",
    "sent_codes": "eager_mode",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
