"""The OpenAPI document and the API agree: schemathesis calls each operation with what the document allows, and not."""

import collections
import itertools

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.harness import PATIENCE_SECONDS, fresh_number

from ringproof.batches.importing import import_roster

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 8
"""Of each operation and mode: together they take some seconds."""

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def operations_of_document(door):
    document = schemathesis.openapi.from_url(f"{door.url}/openapi.json")
    return [found.ok() for found in document.get_all_operations() if found.ok().path != "/events"]  # it does not end


@pytest.fixture
def call(issued):
    """Return a function that calls an operation with generated cases, and counts the answers by status."""
    token = issued("program", ("verify", "batch", "read")).token.get_secret_value()

    def call_(operation, mode, *, change=None, checks=CHECKS):
        statuses = collections.Counter()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def check(case):
            if change:
                change(case)
            headers = {"Authorization": f"Bearer {token}"}
            answer = case.call_and_validate(headers=headers, checks=checks, timeout=PATIENCE_SECONDS)
            statuses[answer.status_code] += 1

        check()
        return statuses

    return call_


def test_what_the_document_does_not_allow_is_refused_as_documented(operations_of_document, call):
    for operation in operations_of_document:
        statuses = call(operation, GenerationMode.NEGATIVE, checks=[*CHECKS, negative_data_rejection])

        assert all(400 <= status < 500 for status in statuses), operation


def test_what_is_there_is_answered_as_documented(operations_of_document, call, api, plivo):
    """Generated requests seldom name what there is: so each gets a real number, verification or batch."""
    verification = api.ask_for_code(number := fresh_number())
    api.sent(verification)
    names = (f"schema {count}" for count in itertools.count())
    made = [next(names)]
    import_roster([fresh_number()], made[0], paused=True)

    def with_something_real(case):
        case.path_parameters |= {"verification_id": verification, "name": made[0]}
        if isinstance(case.body, dict):
            code = plivo.sends(number)[-1]["code"]
            real = {"phone_number": fresh_number(), "region": "US", "subaccount": None, "requester": None, "code": code}
            case.body |= {field: real[field] for field in real.keys() & case.body.keys()}
        if "name" in case.query:
            made.append(next(names))
            case.query |= {"name": made[-1], "map": [], "paused": "true", "region": "US"}
            case.body = f"phone\n{fresh_number()}\n".encode()

    successes = {}
    for operation in operations_of_document:
        statuses = call(operation, GenerationMode.POSITIVE, change=with_something_real)
        successes[operation.label] = {status for status in statuses if status < 400}
    for name in made:
        api.post(f"/batches/{name}/cancel")

    assert {label for label, statuses in successes.items() if not statuses} == {
        "DELETE /verifications/{verification_id}"  # its code is sent
    }
    assert successes["POST /batches"] == {200, 201}
