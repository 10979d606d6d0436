"""The certificates that a worker trusts, as an operator names them."""

import re
from pathlib import Path
from typing import Final

SHAPE: Final = (
    "the path of a file with PEM certificates that this process can read, or of a folder that `openssl rehash` has "
    "prepared"
)
"""What an error about a wrong path says."""


def check(path: str) -> str:
    """Return the path of a PEM file, or of a folder that OpenSSL reads. Raises ValueError if it has no certificate."""
    import ssl  # noqa: PLC0415  # a healthcheck needs no certificates, and loads no OpenSSL

    try:
        if Path(path).is_dir():
            trusted = any(re.fullmatch(r"[0-9a-f]{8}\.\d+", entry.name) for entry in Path(path).iterdir())
        else:
            trusted = ssl.create_default_context(cafile=path).cert_store_stats()["x509"] > 0
    except OSError as error:
        raise ValueError("cannot be read") from error
    if not trusted:
        raise ValueError("no certificates")
    return path
