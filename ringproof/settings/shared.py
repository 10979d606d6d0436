"""The variables that all programs of a machine share: proxies, and certificates that are trusted."""

from typing import Final
from urllib.parse import urlsplit

from ringproof.network.proxy import goes_direct

# In curl's order. A variable of our own comes first.
USUAL_PROXY: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
USUAL_NO_PROXY: Final = ("no_proxy", "NO_PROXY")
USUAL_CA_BUNDLE: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def without_unused(given: dict[str, str], url: str) -> dict[str, str]:
    """Leave out what the way to an address does not need, so that it may have any value."""
    try:
        target = urlsplit(url)
    except ValueError:
        return given
    no_proxy = next((given[name] for name in USUAL_NO_PROXY if name in given), "")
    unused: tuple[str, ...] = ()
    if goes_direct(target.hostname or ""):
        unused = ("PLIVO_PROXY", *USUAL_PROXY)
    elif goes_direct(target.hostname or "", no_proxy):
        unused = USUAL_PROXY
    if target.scheme == "http":
        unused += USUAL_CA_BUNDLE
    return {name: value for name, value in given.items() if name not in unused}
