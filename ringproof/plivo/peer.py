"""Who is at the other end of a connection."""

import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self


@dataclass(frozen=True, slots=True)
class Peer:
    """The address at the other end, and with TLS its version and the end of the certificate.

    Through a proxy, the address is the proxy's.
    """

    address: str
    tls: str | None = None  # such as `TLSv1.3`
    trusted_until: datetime | None = None

    @classmethod
    def of(cls, sock: socket.socket) -> Self:
        """Describe the other end of a socket that is connected."""
        address = str(sock.getpeername()[0])
        if not isinstance(sock, ssl.SSLSocket):
            return cls(address)
        ends = str((sock.getpeercert() or {}).get("notAfter", ""))
        return cls(
            address, sock.version(), datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) if ends else None
        )
