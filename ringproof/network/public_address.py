"""Which addresses are on the internet, and not in a company's network or on this machine."""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

_GLOBAL: Final = ip_network("2000::/3")
"""All addresses of IPv6 on the internet. What is beyond them is unassigned, or leads back into some network."""

_NAT64: Final = ip_network("64:ff9b::/96")
"""An IPv4 address in the last 32 bits, which a gateway translates to: it may be a private one."""


def is_public(address: str) -> bool:
    """Whether an address is reached over the internet. An IPv4 address within one of IPv6 is judged as what it is.

    >>> is_public("93.184.215.14"), is_public("10.0.0.1"), is_public("::ffff:169.254.169.254")
    (True, False, False)
    """
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if inner is None and parsed in _NAT64:
            inner = ip_address(int(parsed) & 0xFFFFFFFF)  # type: ignore[assignment]  # 32 bits make one of IPv4
        if inner is None and parsed not in _GLOBAL:
            return False
        parsed = inner or parsed
    return parsed.is_global and not parsed.is_multicast
