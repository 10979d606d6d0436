"""A message as the worker's parent shows it in logs, events and `inspect`: with masked arguments."""

from typing import Any

from celery.worker.request import Request

from ringproof.phone.masking import redact


class MaskedRequest(Request):
    """Shows the arguments of a message masked, also those that a foreign application sent in clear."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in ("argsrepr", "kwargsrepr"):
            masked = redact(str(self._request_dict.get(name) or "(…)"))
            self._request_dict[name] = masked
            setattr(self, f"_{name}", masked)

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002  # Celery's signature
        """Return what `inspect` shows: the masked arguments, never the ones in clear."""
        shown: dict[str, Any] = super().info(safe=True)
        return shown


class VeiledRequest(MaskedRequest):
    """Shows no argument at all, because a foreign application may send a code of four digits as one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, veil in (("argsrepr", "(…)"), ("kwargsrepr", "{…}")):
            self._request_dict[name] = veil
            setattr(self, f"_{name}", veil)
