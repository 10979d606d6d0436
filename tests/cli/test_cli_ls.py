"""`ringproof ls`: numbers by state, time, country and lane, masked unless they are wanted in full."""

import json
import re
import signal
import subprocess
import sys
from datetime import timedelta
from functools import partial

import pytest
from support.harness import Terminal, fresh_number, ledger_of

from ringproof.clock import epoch_ms
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.record import Lane, Reason, State
from ringproof.phone.masking import mask


@pytest.fixture(autouse=True)
def ledger(idle):
    with ledger_of(idle) as ledger:
        ledger.client.flushall()
        yield ledger


@pytest.fixture
def ls(run, idle):
    return partial(run, "ls", RINGPROOF_REDIS_URL=idle["RINGPROOF_REDIS_URL"])


@pytest.fixture
def known(ledger):
    """Make numbers known, with these fields in place of what a request has."""

    def make(state=State.QUEUED, ago=timedelta(), country="US", lane=Lane.INTERACTIVE, **fields):
        number = fresh_number()
        kind = RequestKind.PERSON if lane is Lane.INTERACTIVE else RequestKind.ROSTER
        ledger.accept(number, token=number, kind=kind, lane=lane, country=country)
        changed_at = epoch_ms(ledger.now() - ago)
        ledger.client.hset(ledger.keys.record(number), mapping={"state": state, "updated_at": changed_at, **fields})
        if state.is_final:
            ledger.client.zrem(ledger.keys.agenda, number)
        return number

    return make


def unmasked(done):
    """Return the numbers in lines of JSON."""
    return [json.loads(line)["phone_number"] for line in done.stdout.splitlines()]


def test_lists_all_numbers_masked_with_state_reason_country_lane_and_alias(ls, known):
    number = known(State.FAILED, reason=Reason.TOO_LATE, lane=Lane.BULK, alias="Front desk")
    done = ls()

    assert re.fullmatch(
        rf"\d.*?  failed \(too_late\) +{re.escape(mask(number))}     US  bulk         Front desk\n", done.stdout
    )
    assert (done.returncode, done.stderr) == (0, "1 number\n")


def test_several_options_narrow_the_choice_together(ls, known):
    hour = timedelta(minutes=59)
    wanted = {known(State.FAILED, hour), known(State.IN_DOUBT)}
    known(State.FAILED, timedelta(minutes=61))
    known(State.FAILED, country="DE")
    known(State.FAILED, lane=Lane.BULK)
    known(State.QUEUED)
    options = ("--since", "1h", "--country", "us", "--lane", "interactive", "--json", "--unmasked")
    found = ls("--state", "in_doubt, FAILED", *options)

    assert set(unmasked(found)) == wanted
    assert found.stderr == "2 numbers\n"


@pytest.mark.parametrize("states", ["queued", "queued,in_doubt,sending,waiting,code_sent", "queued,failed"])
def test_open_states_are_found_on_the_agenda_and_others_among_all_keys(ls, known, states):
    number = known(State.QUEUED)
    known(State.EXPIRED)

    assert unmasked(ls("--state", states, "--json", "--unmasked")) == [number]


def test_a_verification_stands_beside_a_newer_request(ls, known):
    number = known(State.CODE_SENT, verified_at="1764376884000")
    known(State.EXPIRED, verified_at="1764376884000", reason=Reason.LAPSED)
    done = ls("--state", "verified")

    assert re.fullmatch(rf"\d.*?  code_sent, verified +{re.escape(mask(number))}     US  interactive\n", done.stdout)


def test_json_is_masked_unless_it_is_wanted_in_full_which_is_audited(ls, run, known, idle):
    number = known(State.CODE_SENT, verification_uuid="11111111-2222-3333-4444-555555555555", alias="of 415 555 0123")
    masked, full = ls("--json"), ls("--json", "--unmasked", "--as", "alice")
    line = ls("--unmasked", "--as", "bob", "--state", "code_sent").stdout
    audited = run("audit", RINGPROOF_REDIS_URL=idle["RINGPROOF_REDIS_URL"]).stdout

    record = json.loads(full.stdout)
    assert number[1:] not in masked.stdout
    assert "5550123" not in re.sub(r"\D", "", json.loads(masked.stdout)["alias"])
    assert mask(number) in json.loads(masked.stdout)["message"]
    assert record == json.loads(run("status", "--json", number, RINGPROOF_REDIS_URL=idle["RINGPROOF_REDIS_URL"]).stdout)
    assert f"  {number}  " in line
    assert re.findall(r"(\w+) +ls --unmasked *(.*)", audited) == [("alice", ""), ("bob", "in the state code_sent")]


def test_numbers_on_standard_input_are_listed_in_any_notation_and_once(ls, known):
    number = known()
    known()
    written = f"{number}\n({number[2:5]}) {number[5:]}\n\n+1 415 200 9999\nhello\n"
    done = ls("-", "--region", "US", "--json", "--unmasked", stdin=written)

    assert [json.loads(line) for line in done.stdout.splitlines()][1:] == [
        {"phone_number": "+14152009999", "state": None}
    ]
    assert unmasked(done)[0] == number
    assert done.returncode == 1
    assert "error: 'hello': not a phone number" in done.stderr
    assert ls("--state", "queued", number, "+14152009999").stdout.count("\n") == 1


def test_with_a_limit_those_that_changed_last_come_first(ls, known):
    numbers = [known(ago=timedelta(minutes=ago)) for ago in (3, 1, 2, 4)]
    done = ls("--limit", "2", "--json", "--unmasked")

    assert unmasked(done) == [numbers[1], numbers[2]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no number is known here\n"),
        (("--state", "failed,expired", "--since", "1h"), "no number in the state expired or failed, changed in the "),
        (("--country", "DE", "--lane", "bulk", "--json"), "no number of DE, in the lane bulk\n"),
    ],
)
def test_that_there_is_none_is_no_failure(ls, arguments, said):
    done = ls(*arguments)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(said)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--state", "failed,lost"), "'lost' is not one of queued, waiting, sending, code_sent, in_doubt"),
        (("--state", ""), "'' is not one of queued"),
        (("--since", "yesterday"), "write 90s, 30m, 1h or 2d"),
        (("--country", "USA"), "US"),
        (("--lane", "fast"), "'interactive', 'scheduled', 'bulk'"),
        (("--limit", "0"), "--limit"),
    ],
)
def test_a_wrong_option_is_answered_with_the_right_values(ls, arguments, hint):
    done = ls(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert hint in done.stderr


@pytest.mark.parametrize("options", [(), ("--state", "failed,queued"), ("--limit", "9")])
def test_a_damaged_record_is_named_and_keeps_no_other_one_away(ls, known, ledger, options):
    number, junk, other = known(), known(), known()
    ledger.client.hset(ledger.keys.record(junk), mapping={"updated_at": "soon", "request": "x"})
    ledger.client.set(ledger.keys.record(other), "no hash")
    done = ls(*options, "--json", "--unmasked")

    assert unmasked(done) == [number]
    assert sorted(done.stderr.splitlines()[:-1]) == sorted(
        f"error: the record of {mask(one)} is damaged; ringproof erase NUMBER removes it" for one in (junk, other)
    )


def many(ledger, count):
    """Make many numbers known, quickly."""
    number = fresh_number()
    ledger.accept(number, token=number, country="US")
    fields = ledger.client.hgetall(ledger.keys.record(number))
    with ledger.client.pipeline(transaction=False) as pipeline:
        for nth in range(count):
            pipeline.hset(ledger.keys.record(f"+1415{nth:07}"), mapping=fields)
        pipeline.execute()


def test_a_pipe_that_is_closed_early_ends_it_without_a_word(ledger, idle):
    many(ledger, 2000)
    listing = subprocess.Popen(
        [sys.executable, "-m", "worker", "ls"], env=idle, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with listing:
        assert "queued" in listing.stdout.readline()
        listing.stdout.close()
        assert listing.stderr.read() == ""


def test_on_a_terminal_it_says_how_far_it_is_and_ctrl_c_ends_it_with_what_was_listed(ledger, idle, tmp_path):
    many(ledger, 20_000)
    with Terminal(idle, tmp_path, "ls") as terminal:
        terminal.until_shown("numbers read")
        terminal.process.send_signal(signal.SIGINT)
        terminal.until_shown("; there may be more")
        assert terminal.end() == 3
    listed = terminal.shown.count("+1•••••••")

    said = re.search(r"stopped after ([\d,]+) numbers", terminal.shown)[1].replace(",", "")
    assert 0 < listed < 20_000
    assert abs(int(said) - listed) <= 3, "Ctrl-C may come in the middle of a line, which rich then prints again"
    assert "Traceback" not in terminal.shown
