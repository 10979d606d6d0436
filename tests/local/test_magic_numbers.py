"""Numbers that always fail in one way, and that Ringproof takes as it takes anybody's."""

from contextlib import suppress

import pytest
import requests
from support.harness import AUTH_ID, AUTH_TOKEN, PATIENCE_SECONDS

from ringproof.phone.number import is_personal, parse
from worker.local.sandbox.magic_numbers import magic_numbers
from worker.local.sandbox.misfortunes import Misfortune, MisfortuneKind
from worker.local.sandbox.state import SandboxState
from worker.local.sandbox.switches import Switches

MAGIC = list(magic_numbers())
OF = {(magic.operation, magic.kind): magic.phone_number for magic in MAGIC}


def test_each_kind_has_a_number_for_an_initiate_and_one_for_a_completion():
    kinds = set(MisfortuneKind) - {MisfortuneKind.REFUSED}

    assert {kind for operation, kind in OF if operation == "initiate"} == kinds
    assert {kind for operation, kind in OF if operation == "complete"} == kinds
    assert len({magic.phone_number for magic in MAGIC}) == len(MAGIC) == 2 * len(kinds)


def test_the_numbers_stay_what_they_are():
    assert OF["initiate", MisfortuneKind.REJECTED] == "+12025550101"
    assert OF["initiate", MisfortuneKind.FLOOD] == "+12025550133"
    assert OF["complete", MisfortuneKind.REJECTED] == "+12025550151"


@pytest.mark.parametrize("magic", MAGIC, ids=str)
def test_ringproof_takes_a_magic_number_as_it_takes_any_other(magic):
    number = parse(magic.phone_number)

    assert (number.e164, number.country, number.landline) == (magic.phone_number, "US", False)
    assert not is_personal(number.e164)


@pytest.mark.parametrize("magic", MAGIC, ids=str)
def test_a_magic_number_always_fails_in_its_way_and_in_no_other(magic):
    state = SandboxState(Switches())
    other = "complete" if magic.operation == "initiate" else "initiate"

    def happens(operation):
        misfortune = state.take_misfortune(state.arrive("POST", operation, "a test"), magic.phone_number)
        return misfortune and misfortune.kind

    assert [happens(magic.operation) for _ in range(3)] == [magic.kind] * 3
    assert [happens(operation) for operation in (other, "get", "update", "delete", "list")] == [None] * 5


def test_an_armed_misfortune_happens_before_that_of_the_number():
    state = SandboxState(Switches())
    state.misfortunes.append(Misfortune(MisfortuneKind.UNAVAILABLE, times=1))
    number = OF["initiate", MisfortuneKind.REJECTED]

    happened = [state.take_misfortune(state.arrive("POST", "initiate", "a test"), number).kind for _ in range(2)]

    assert happened == [MisfortuneKind.UNAVAILABLE, MisfortuneKind.REJECTED]


@pytest.mark.parametrize(
    ("kind", "status", "codes"), [("400", 400, 0), ("403", 403, 0), ("500_after", 500, 1), ("reset_after", None, 1)]
)
def test_plivo_answers_a_magic_number_so_over_http(plivo, kind, status, codes):
    number, answered = OF["initiate", kind], None
    url = f"{plivo.base_url}/Account/{AUTH_ID}/VerifiedCallerId/"

    with suppress(requests.ConnectionError):
        answered = requests.post(
            url, json={"phone_number": number}, auth=(AUTH_ID, AUTH_TOKEN), timeout=PATIENCE_SECONDS
        ).status_code

    assert answered == status
    assert len(plivo.sends(number)) == codes


def test_a_code_is_never_right_for_the_number_whose_completions_are_refused(plivo, client_of):
    client = client_of(plivo.base_url)
    number = OF["complete", "400"]
    uuid = client.initiate(number).verification_uuid
    url = f"{plivo.base_url}/Account/{AUTH_ID}/VerifiedCallerId/Verification/{uuid}/"

    entered = [
        requests.post(
            url, json={"otp": plivo.inbox(number)["inbox"][-1]["code"]}, auth=(AUTH_ID, AUTH_TOKEN), timeout=30
        )
        for _ in range(2)
    ]

    assert [answer.status_code for answer in entered] == [400, 400]
    assert plivo.inbox(number)["live_codes"]
