"""Programs that call the session's front door, with credentials of their own."""

import contextlib

import pytest
from support.api import Api

from ringproof import runtime
from ringproof.ledger.credentials import Scope, issue, revoke


@pytest.fixture(scope="session")
def issued():
    """Return a function that gives the credential of a program with these scopes, the same one each time."""
    known = {}

    def issued_to(program, scopes):
        if (program, scopes) not in known:
            known[program, scopes] = issue(runtime.ledger(), f"{program} {'+'.join(scopes)}", scopes)
        return known[program, scopes]

    yield issued_to
    for credential, _ in known.values():
        revoke(runtime.ledger(), credential.name)


@pytest.fixture
def api_with(issued, door):
    """Return a function that opens a client of a program with these scopes, or with all."""
    with contextlib.ExitStack() as opened:

        def open_(*scopes, program="program"):
            return opened.enter_context(Api(door.url, issued(program, scopes or tuple(Scope)).token))

        yield open_


@pytest.fixture
def api(api_with):
    """A client that may do everything."""
    return api_with()
