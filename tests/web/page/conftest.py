"""People at the session's front door, with credentials of their own."""

import contextlib
import itertools

import pytest
from support.page import Visitor

from ringproof import runtime
from ringproof.ledger.credentials import Scope, issue, revoke

_NAMES = itertools.count()


@pytest.fixture(scope="session")
def issued():
    """Return a function that gives a credential with these scopes, the same one each time."""
    known = {}

    def issued_with(*scopes):
        if scopes not in known:
            known[scopes] = issue(runtime.ledger(), f"person {'+'.join(scopes)}", scopes)
        return known[scopes]

    yield issued_with
    for credential, _ in known.values():
        revoke(runtime.ledger(), credential.name)


@pytest.fixture
def stranger(door):
    """Somebody who has not logged in."""
    with Visitor(door.url) as visitor:
        yield visitor


@pytest.fixture
def visitor_with(door, issued):
    """Return a function that logs a person in who has these scopes, or all."""
    with contextlib.ExitStack() as opened:

        def log_in(*scopes):
            visitor = opened.enter_context(Visitor(door.url))
            assert visitor.log_in(issued(*(scopes or tuple(Scope)))).status_code == 200
            return visitor

        yield log_in


@pytest.fixture
def visitor(visitor_with):
    """Somebody who may do everything."""
    return visitor_with()


@pytest.fixture
def batch_name():
    """A name that no other test's batch has."""
    return f"page {next(_NAMES)}"
