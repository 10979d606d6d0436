"""A message as the worker's parent sees it, which tells it to logs, events and `inspect`: masked."""

from typing import Any

from celery.worker.request import Request

from ringproof.phone.masking import redact


class MaskedRequest(Request):
    """Shows the masked arguments that came with a message, and masks those that a foreign app left in clear."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in ("argsrepr", "kwargsrepr"):
            masked = redact(str(self._request_dict.get(name) or "(…)"))
            self._request_dict[name] = masked
            setattr(self, f"_{name}", masked)

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002  # Celery's signature
        """Tell `inspect` the masked arguments, never the ones in clear."""
        told: dict[str, Any] = super().info(safe=True)
        return told


class VeiledRequest(MaskedRequest):
    """Shows no argument at all: a foreign app may have put a code of four digits among them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, veil in (("argsrepr", "(…)"), ("kwargsrepr", "{…}")):
            self._request_dict[name] = veil
            setattr(self, f"_{name}", veil)
