"""Whether an address is this machine's own: such a way crosses no network, and needs neither a proxy nor TLS."""

from ipaddress import ip_address


def is_this_machine(host: str | None) -> bool:
    """Whether a host's name or address leads to this machine's loopback.

    >>> is_this_machine("127.0.0.1"), is_this_machine("[::1]"), is_this_machine("127.0.0.1.evil.example")
    (True, True, False)
    """
    try:
        return host == "localhost" or ip_address((host or "").strip("[]")).is_loopback
    except ValueError:
        return False
