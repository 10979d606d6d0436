"""`ringproof sync` and `reverify`: numbers that Plivo has, and numbers that are verified again."""

import json
import signal
import stat
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from support.harness import Terminal, Worker, eventually, fresh_number, ledger_of, stopped

from ringproof.ledger import control, reverification
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.record import Lane, Reason, Record, State
from ringproof.phone.masking import mask
from worker.cli.verified import _is_listed
from worker.local.processes.redis_server import RedisServer


@pytest.fixture(scope="module")
def home(environ, tmp_path_factory):
    """A Redis of its own, with a worker that does everything."""
    folder = tmp_path_factory.mktemp("verified")
    with RedisServer() as server:
        settings = environ | {"RINGPROOF_REDIS_URL": server.url, "RINGPROOF_REVERIFY_AFTER_DAYS": "90"}
        with stopped(Worker(folder / "worker.log", settings, folder, "-B")):
            yield settings


@pytest.fixture(autouse=True)
def ledger(home):
    with ledger_of(home) as ledger:
        for key in ledger.client.scan_iter(f"{ledger.keys.prefix}:*"):
            if key not in {ledger.keys.policy, ledger.keys.pace}:
                ledger.client.delete(key)
        yield ledger


@pytest.fixture
def ringproof(run, home):
    return partial(run, RINGPROOF_REDIS_URL=home["RINGPROOF_REDIS_URL"])


def verified(plivo, number=None, **facts):
    """A number that is verified at Plivo, and unknown here."""
    number = number or fresh_number()
    plivo.initiate(number, **facts)
    plivo.complete(number)
    return number


class TestSync:
    def test_records_numbers_that_plivo_has_and_an_import_skips_them(self, ringproof, ledger, plivo, tmp_path):
        numbers = [verified(plivo, alias=f"Number {n}") for n in range(45)]
        done = ringproof("sync")
        again = ringproof("sync", "--json")
        record = ledger.read(numbers[7])
        roster = tmp_path / "people.csv"
        roster.write_text("phone\n" + "\n".join(numbers))
        sent = len(plivo.sends())
        imported = ringproof("import", str(roster), "--dry-run")

        assert done.stdout == "45 numbers are verified at Plivo, 45 of them unknown here until now\n"
        assert json.loads(again.stdout) == {"at_plivo": 45, "recorded": 0, "gone": 0, "ended": 0}
        assert (record.state, record.alias, record.country) == (State.VERIFIED, "Number 7", "US")
        assert record.verification_uuid == plivo.sends(numbers[7])[-1]["verification_uuid"]
        assert record.checked_at > record.verified_at
        assert reverification.next_date(ledger, numbers[7]) - ledger.now() > timedelta(days=44)
        assert "45 verified already" in imported.stdout
        assert len(plivo.sends()) == sent

    def test_shows_numbers_that_plivo_no_longer_has_and_reverify_takes_them(self, ringproof, ledger, plivo, tmp_path):
        there, gone = verified(plivo), verified(plivo)
        ringproof("sync")
        plivo.delete(gone)
        done = ringproof("sync", "--gone", "gone.txt")
        file = tmp_path / "gone.txt"

        assert f"1 number is verified here, and no longer at Plivo: {mask(gone)}\n" in done.stdout
        assert "sync --gone  1 number" in ringproof("audit").stdout
        assert file.read_text() == f"{gone}\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert ledger.read(gone).state is State.VERIFIED
        asked = ringproof("reverify", "-", stdin=file.read_text())
        assert asked.stdout.startswith("1 number is to be verified again: Plivo is asked about each; ")
        eventually(lambda: ledger.read(gone).state is State.CODE_SENT)
        assert len(plivo.sends(gone)) == 2
        assert ledger.read(there).state is State.VERIFIED
        assert ledger.read(gone).reverifies

    def test_names_a_file_that_cannot_be_written_before_it_asks_plivo(self, ringproof, plivo):
        done = ringproof("sync", "--gone", "no-such-folder/gone.txt")

        assert done.returncode == 1
        assert "no-such-folder/gone.txt: it cannot be written" in done.stderr
        assert not plivo.requests()

    def test_keeps_the_record_of_a_number_whose_code_is_live(self, ringproof, ledger, plivo):
        number = verified(plivo)
        ringproof("initiate", number)
        ringproof("sync")

        assert ledger.read(number).state is State.CODE_SENT

    @pytest.mark.usefixtures("plivo")
    def test_of_an_empty_list_says_so(self, ringproof):
        assert ringproof("sync").stdout == "no number is verified at Plivo\n"

    def test_does_not_miss_a_number_that_was_verified_just_before_and_is_not_listed_yet(self):
        began = datetime.now(UTC)
        just, long = (
            Record("+14155550123", State.VERIFIED, 1, verified_at=began - timedelta(seconds=ago)) for ago in (2, 10)
        )

        assert _is_listed(just, began)
        assert not _is_listed(long, began)

    def test_of_an_emptied_list_misses_all_numbers_even_after_a_cancelled_request(self, ringproof, ledger, plivo):
        numbers = [verified(plivo) for _ in range(2)]
        ringproof("sync")
        request = ledger.accept(numbers[0], token="t", kind=RequestKind.RESEND).request
        ledger.cancel(numbers[0], request)
        for number in numbers:
            plivo.delete(number)
        done = ringproof("sync", "--json")

        assert json.loads(done.stdout) == {"at_plivo": 0, "recorded": 0, "gone": 2, "ended": 0}

    def test_ends_the_verifications_that_plivo_has_lost_with_a_yes(self, ringproof, ledger, plivo):
        there, gone, asked = (verified(plivo) for _ in range(3))
        ringproof("sync")
        for number in (gone, asked):
            plivo.delete(number)
        control.pause(ledger, Lane.BULK)
        ledger.accept(asked, token="t", kind=RequestKind.RESEND, lane=Lane.BULK)
        sent = len(plivo.sends())
        done = ringproof("sync", "--yes")
        again = ringproof("sync", "--yes", "--json")

        assert "2 numbers are verified here, and no longer at Plivo" in done.stdout
        assert "the verification of 1 number has ended\n" in done.stdout
        assert json.loads(again.stdout) == {"at_plivo": 1, "recorded": 0, "gone": 1, "ended": 0}
        assert [ledger.read(number).is_verified for number in (there, gone, asked)] == [True, False, True]
        assert ledger.read(gone).reason is Reason.REMOVED
        assert len(plivo.sends()) == sent

    @pytest.mark.parametrize(("typed", "stands"), [("n", True), ("y", False)])
    def test_asks_on_a_terminal_before_it_ends_verifications(
        self, home, ringproof, ledger, plivo, tmp_path, typed, stands
    ):
        number = verified(plivo)
        ringproof("sync")
        plivo.delete(number)
        with Terminal(home, tmp_path, "sync") as terminal:
            terminal.until_shown("End their verification here? [y/N]").types(f"{typed}\n")
            assert terminal.end() == 0

        assert ledger.read(number).is_verified is stands

    def test_ends_no_verification_if_plivos_list_was_not_whole(self, ringproof, ledger, plivo):
        numbers = [verified(plivo) for _ in range(2)]
        ringproof("sync")
        plivo.delete(numbers[0])
        plivo.befall("without_uuid", operation="list")
        done = ringproof("sync", "--yes")

        assert done.returncode == 1
        assert "nothing has ended: Plivo's list showed 0 numbers, and it says 1" in done.stderr
        assert all(ledger.read(number).is_verified for number in numbers)

    def test_shows_plivos_refusal_and_ends_at_ctrl_c(self, home, plivo, tmp_path):
        plivo.befall("401", operation="list", times=1000)
        with Terminal(home, tmp_path, "sync") as terminal:
            terminal.until_shown("Plivo's list was not read: 401")
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.end() == 3
            assert "interrupted; a worker goes on reading, and the same command waits for it" in terminal.shown

    def test_without_a_worker_shows_how_to_start_one(self, idle, tmp_path):
        with Terminal(idle, tmp_path, "sync") as terminal:
            terminal.until_shown("no worker takes messages; start one: ringproof worker")


class TestReverify:
    def test_asks_plivo_about_a_number_and_status_shows_when_it_does_so_next(self, ringproof, ledger, plivo):
        number = verified(plivo)
        ringproof("sync")
        before = ledger.read(number).checked_at
        done = ringproof("reverify", number)
        eventually(lambda: ledger.read(number).checked_at > before)
        status = ringproof("status", number)

        assert done.returncode == 0
        assert "verify again" in status.stdout
        assert len(plivo.sends(number)) == 1

    def test_dry_shows_the_numbers_and_asks_plivo_nothing(self, ringproof, plivo):
        number = verified(plivo)
        ringproof("sync")

        assert ringproof("reverify", "--due-within", "90d", "--dry-run").stdout == f"1 number: {mask(number)}\n"
        assert ringproof("reverify", "--older-than", "1d", "--dry-run").stdout == "0 numbers\n"
        assert ringproof("reverify", "--lapsed").stdout == "0 numbers\n"

    @pytest.mark.parametrize("words", [(), ("--lapsed", "--due-within", "7d"), ("+14155550123", "--lapsed")])
    def test_needs_numbers_or_exactly_one_option_that_chooses_them(self, ringproof, words):
        done = ringproof("reverify", *words)

        assert done.returncode == 2
        assert "Name numbers, or one of --batch, --older-than, --due-within and --lapsed." in done.stderr

    @pytest.mark.parametrize("written", ["90", "0d", "d", "4000d", "-1d", "٣d"])
    def test_refuses_a_wrong_duration_with_the_right_notation(self, ringproof, written):
        done = ringproof("reverify", f"--older-than={written}")

        assert done.returncode == 2
        assert "write 90s, 30m, 1h or 2d, up to 3650d" in done.stderr

    def test_says_why_a_number_cannot_be_verified_again(self, ringproof, ledger):
        ledger.accept(waiting := fresh_number(), token="t", kind=RequestKind.PERSON)
        done = ringproof("reverify", waiting, fresh_number())

        assert done.returncode == 1
        assert "1 number is being verified now" in done.stdout
        assert "1 number is unknown here; to send a first code: ringproof initiate NUMBER" in done.stdout

    def test_takes_the_verified_numbers_of_a_batch(self, ringproof, ledger, plivo, tmp_path):
        numbers = [fresh_number() for _ in range(3)]
        (tmp_path / "spring.csv").write_text("phone\n" + "\n".join(numbers))
        ringproof("import", "spring.csv", "--yes", "--reverify-after", "10d")
        eventually(lambda: all((r := ledger.read(number)) and r.state is State.CODE_SENT for number in numbers))
        ringproof("confirm", numbers[0], stdin=plivo.sends(numbers[0])[-1]["code"])
        done = ringproof("reverify", "--batch", "spring", "--dry-run")

        assert done.stdout == f"1 number: {mask(numbers[0])}\n"
        assert reverification.next_date(ledger, numbers[0]) - ledger.now() <= timedelta(days=10)
        assert ledger.read(numbers[1]).reverify_after_days == 10

    def test_lists_lapsed_numbers(self, ringproof, ledger, plivo):
        number = verified(plivo)
        ringproof("sync")
        lapsed = {"state": "expired", "reason": "lapsed", "reverifies": 1}
        ledger.client.hset(ledger.keys.record(number), mapping=lapsed)
        ledger.client.zadd(ledger.keys.lapsed, {number: 1})
        status, one = ringproof("status"), ringproof("status", number)

        assert ringproof("reverify", "--lapsed", "--dry-run").stdout == f"1 number: {mask(number)}\n"
        assert "1 did not answer two re-verifications: ringproof reverify --lapsed --dry-run" in status.stdout
        assert "the user did not answer two re-verifications" in one.stdout
        assert ledger.read(number).reason is Reason.LAPSED
        assert ledger.accept(number, token="t2", kind=RequestKind.ROSTER).disposition is Disposition.ACCEPTED
        assert ledger.client.zcard(ledger.keys.lapsed) == 0


@pytest.mark.parametrize("days", [True, -1, 3651, "90", 1.5])
def test_a_wrong_period_is_an_error_that_names_the_right_ones(days):
    from ringproof.errors import InvalidRequest  # noqa: PLC0415
    from tasks import initiate_verification  # noqa: PLC0415

    with pytest.raises(InvalidRequest, match="1 to 3650, or 0 for never"):
        initiate_verification.delay("+14155550123", reverify_after_days=days)
