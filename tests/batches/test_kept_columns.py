"""The columns of a roster, kept beside its batch: what they take, what an erasure leaves, and when they expire."""

import csv
import io
import random
import zlib

import pytest
from support.harness import fresh_number
from support.roster_of_batch import Batches

from ringproof.batches import operations
from ringproof.batches.column_erasure import NumberFinder
from ringproof.batches.erasure import erase_number
from ringproof.batches.export import csv_lines, export_columns
from ringproof.batches.importing import begin_import
from ringproof.batches.kept_columns import ColumnKeeper, KeptPages, kept_names, packed
from ringproof.batches.resend import RowCopier, UnansweredRows, finish_resend, resend_name
from ringproof.batches.rows import batch_rows, rejected_rows
from ringproof.ledger.answers import Outcome
from ringproof.ledger.record import State
from ringproof.rosters.columns import Columns
from ringproof.rosters.roster import open_roster, roster_of
from ringproof.rosters.row import Row


@pytest.fixture
def world(client, monkeypatch):
    return Batches(client, monkeypatch)


def import_all(world, name, roster, *, columns=True, stop_after=None):
    """Import a roster with its columns, or up to a row after which the import is cut short."""
    with begin_import(world.ledger, name, fingerprint="f") as importing:
        if columns:
            importing.keep_columns(roster.columns)
        for at, row in enumerate(roster, 1):
            if isinstance(row, Row):
                importing.add(row)
            else:
                importing.add_rejected(row)
            if at == stop_after:
                importing.flush()
                raise ConnectionError
        return importing.finish()


def national(number):
    """Return an American number as a person writes it."""
    return f"({number[2:5]}) {number[5:8]}-{number[8:]}"


def texts(world):
    """Return all that Redis has of columns, unpacked."""
    found = []
    for key in world.client.scan_iter(f"{world.prefix}:columns:*"):
        if world.client.type(key) == "zset":
            found += world.client.zrange(key, 0, -1)
        else:
            pages = world.client.execute_command("HVALS", key, NEVER_DECODE=True)
            found += [zlib.decompress(page).decode() for page in pages]
    return "".join(found)


def crm(path, rows, delimiter=","):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


class TestColumns:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_of_each_row_come_back_as_they_were(self, world, tmp_path, delimiter):
        numbers = [fresh_number() for _ in range(4)]
        header = ["Record ID", "Nachname", "Handy", "Notiz", "channel"]
        rows = [
            ["7", "Lovelace; Ada", numbers[0], "erste\nzweite Zeile", "sms"],
            ["8", "Hopper, Grace", national(numbers[1]), "“quoted”", "call"],
            ["9", "García", f"{numbers[2]} ", "", "sms"],
            ["10", "张伟", numbers[3].replace("+1", "1-"), "=1+1", "call"],
        ]
        crm(tmp_path / "leads.csv", [header, *rows], delimiter)
        with open_roster(tmp_path / "leads.csv", region="US") as roster:
            accepted = import_all(world, "leads", roster).rows

        kept = {row.columns["Record ID"]: row for row in batch_rows(world.ledger, "leads", with_columns=True)}
        rejected = {row.columns["Record ID"]: row for row in rejected_rows(world.ledger, "leads")}
        assert len(kept) == accepted
        for row in rows:
            assert list((kept | rejected)[row[0]].columns.values()) == row
            assert (kept | rejected)[row[0]].written_as == row[2]
        assert kept["8"].line == 4, "the note before it has two lines"

    def test_of_objects_keep_their_values_and_each_object_its_own_keys(self, world):
        first, second = fresh_number(), fresh_number()
        rows = [
            {"phone": first, "tags": ["a", "b"], "score": 1.5, "vip": True},
            {"phone": second, "city": "São Paulo", "half": "\ud800"},
        ]
        import_all(world, "objects", roster_of(rows))

        one, two = (row.columns for row in batch_rows(world.ledger, "objects", with_columns=True))
        assert (one["tags"], one["score"], one["vip"], one.get("city")) == (["a", "b"], 1.5, True, None)
        assert (two["city"], two["half"], two.get("tags")) == ("São Paulo", "\ud800", None)

    def test_with_the_same_name_are_kept_apart(self, world, tmp_path):
        crm(tmp_path / "two.csv", [["Name", "Phone", "Name", ""], ["Ada", fresh_number(), "Lovelace", "x"]])
        with open_roster(tmp_path / "two.csv") as roster:
            import_all(world, "two", roster)

        (row,) = batch_rows(world.ledger, "two", with_columns=True)
        assert (row.columns["Name"], row.columns["Name_2"], row.columns["column_4"]) == ("Ada", "Lovelace", "x")

    def test_and_rejected_rows_are_in_once_after_an_import_was_cut_short(self, world):
        rows = [{"phone": fresh_number(), "id": at} if at % 3 else {"phone": "nix", "id": at} for at in range(3_000)]
        for stop in (500, 501, 2_000):
            with pytest.raises(ConnectionError):
                import_all(world, "cut", roster_of(rows), stop_after=stop)
        import_all(world, "cut", roster_of(rows))

        kept = [row.columns["id"] for row in batch_rows(world.ledger, "cut", with_columns=True)]
        assert kept == [at for at in range(3_000) if at % 3]
        assert [row.columns["id"] for row in rejected_rows(world.ledger, "cut")] == list(range(0, 3_000, 3))
        assert {row.reason for row in rejected_rows(world.ledger, "cut")} == {"not_a_number"}

    def test_of_several_files_name_the_file_of_each_row(self, world):
        first, second = fresh_number(), fresh_number()
        rows = {
            "a.csv": [{"phone": first, "file": "F-7"}, {"phone": "nix"}],
            "b.csv": [{"phone": second, "city": "Rome"}],
        }
        with begin_import(world.ledger, "two", fingerprint="f") as importing:
            for name, of_file in rows.items():
                roster = roster_of(of_file)
                importing.keep_columns(roster.columns, file=name)
                for row in roster:
                    (importing.add if isinstance(row, Row) else importing.add_rejected)(row)
            importing.finish()
        columns = export_columns(kept_names(world.ledger, "two"), ["line", "file", "file_file"])
        written = io.StringIO()
        kept = [*batch_rows(world.ledger, "two", with_columns=True), *rejected_rows(world.ledger, "two")]
        written.writelines(csv_lines(kept, masked=False, excel=False, columns=columns))

        assert written.getvalue() == "line,file,file_file\n1,a.csv,F-7\n1,b.csv,\n2,a.csv,\n"

    def test_are_shown_by_no_repr(self, world):
        number = fresh_number()
        import_all(world, "spring", roster_of([{"phone": number, "note": number}, {"phone": "nix", "note": number}]))
        kept = KeptPages(world.ledger, world.ledger.keys.batch("spring").pages[0])
        rows = [*batch_rows(world.ledger, "spring", with_columns=True), *rejected_rows(world.ledger, "spring")]

        assert len(rows) == 2
        assert number[2:] not in repr((rows, kept.page(0)))

    def test_are_not_kept_without_the_roster(self, world):
        import_all(world, "bare", roster_of([{"phone": fresh_number(), "city": "Rome"}]), columns=False)

        (row,) = batch_rows(world.ledger, "bare", with_columns=True)
        assert (row.columns, row.line, row.written_as) == ({}, None, "")
        assert texts(world) == ""

    def test_expire_with_their_batch(self, world):
        rows = [{"phone": fresh_number(), "city": "Rome"}, {"phone": "nix", "city": "Bari"}]
        import_all(world, "spring", roster_of(rows))
        world.until_empty()

        keys = list(world.client.scan_iter(f"{world.prefix}:*:spring*"))
        assert sum(":columns:" in key for key in keys) == 3
        assert {world.client.pttl(key) > 0 for key in keys} == {True}

    def test_go_with_an_import_that_is_abandoned(self, world):
        roster = roster_of([{"phone": fresh_number(), "city": "Rome"}])
        with begin_import(world.ledger, "gone", fingerprint="f") as importing:
            importing.keep_columns(roster.columns)
            for row in roster:
                importing.add(row)
            importing.flush()
            importing.abandon()

        assert list(world.client.scan_iter(f"{world.prefix}:*:gone*")) == []

    def test_of_a_crm_export_take_at_most_120_bytes_a_row(self):
        chance = random.Random(4)
        names = (
            "Record ID",
            "First Name",
            "Last Name",
            "Email",
            "Mobile",
            "Company",
            "Stage",
            "City",
            "Created",
            "Note",
        )
        syllables = (
            "an",
            "ber",
            "chi",
            "dor",
            "el",
            "fan",
            "gu",
            "hol",
            "in",
            "jak",
            "kir",
            "lem",
            "mo",
            "nar",
            "os",
            "qui",
        )

        def word(count):
            return "".join(chance.choices(syllables, k=count)).title()

        keeper = ColumnKeeper()
        keeper.begin_roster(Columns(names, has_header=True, number=4), None)
        for at in range(1000):
            first, last, company = word(2), word(3), f"{word(3)} {chance.choice(['GmbH', 'Inc', 'Ltd'])}"
            number = f"+1 (415) {chance.randrange(200, 999)}-{chance.randrange(10_000):04}"
            mail = f"{first}.{last}@{company.split(maxsplit=1)[0]}.example".lower()
            created = f"2025-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02} 09:{chance.randrange(60):02}"
            row = [str(288_000_000 + chance.randrange(10**8)), first, last, mail, number, company]
            row += [chance.choice(["Lead", "Customer"]), word(2), created, chance.choice(["", "", "met at the fair"])]
            keeper.add("sms", at + 2, row)

        pages, _ = keeper.take()
        assert sum(map(len, pages)) / 1000 <= 120


class TestAnErasedNumber:
    @pytest.mark.parametrize("notation", [str, national, lambda number: f"tel:{number}", lambda n: f"00{n[1:]}"])
    def test_leaves_no_cell_of_its_row(self, world, notation):
        mine, other = fresh_number(), fresh_number()
        rows = [{"phone": other, "who": "Bob"}, {"phone": mine, "who": "Ada", "as": notation(mine)}]
        import_all(world, "spring", roster_of(rows))
        assert "Ada" in texts(world)

        assert erase_number(world.ledger, mine)
        assert "Ada" not in texts(world)
        assert mine[2:] not in "".join(filter(str.isdigit, texts(world)))
        assert [row.columns.get("who") for row in batch_rows(world.ledger, "spring", with_columns=True)] == [
            "Bob",
            None,
        ]

    def test_is_erased_from_another_contacts_cell_which_keeps_the_others(self, world):
        mine, other = fresh_number(), fresh_number()
        rows = [{"phone": other, "who": "Bob", "note": f"his wife: {national(mine)}, evenings"}]
        import_all(world, "spring", roster_of(rows))

        assert erase_number(world.ledger, mine)
        (row,) = batch_rows(world.ledger, "spring", with_columns=True)
        assert dict(row.columns) == {"phone": other, "who": "Bob", "note": None}

    def test_is_erased_from_rejected_rows(self, world):
        mine = fresh_number()
        rows = [fresh_number(), {"phone": national(mine), "who": "Ada"}, {"phone": "nix", "who": "Bob"}]
        import_all(world, "spring", roster_of(rows))

        assert erase_number(world.ledger, mine)
        assert [row.columns["who"] for row in rejected_rows(world.ledger, "spring")] == [None, "Bob"]
        assert [row.reason for row in rejected_rows(world.ledger, "spring")] == ["no_country", "not_a_number"]

    def test_is_erased_from_the_names_of_columns(self, world):
        mine = fresh_number()
        import_all(world, "spring", roster_of([{"phone": fresh_number(), mine: "x"}]))
        erase_number(world.ledger, mine)

        assert mine[2:] not in texts(world)

    def test_leaves_a_row_whose_number_has_the_same_national_digits(self, world):
        rows = [{"phone": "+12079460958", "who": "Maine"}, {"phone": "020 7946 0958", "who": "London"}]
        import_all(world, "spring", roster_of(rows, region="GB", channel="auto"))
        erase_number(world.ledger, "+12079460958")

        assert [row.columns["who"] for row in batch_rows(world.ledger, "spring", with_columns=True)] == [None, "London"]

    def test_of_a_batch_with_an_expiry_leaves_the_expiry(self, world):
        mine = fresh_number()
        import_all(world, "spring", roster_of([{"phone": mine, "who": "Ada"}]))
        world.until_empty()
        erase_number(world.ledger, mine)

        assert world.client.pttl(world.ledger.keys.batch("spring").pages[0]) > 0

    @pytest.mark.parametrize(
        ("number", "cell"),
        [
            ("+442079460958", "020 7946 0958"),
            ("+442079460958", "０２０ ７９４６ ０９５８"),
            ("+919876543210", "९८७६५ ४३२१०"),
            ("+5491123456789", "011 15-2345-6789"),
            ("+390612345678", "06 1234 5678"),
            ("+14155550123", {"phones": ["+1-415-555-0123"]}),
        ],
    )
    def test_is_found_as_people_write_it_at_home(self, number, cell):
        assert NumberFinder(number).is_in(cell)
        assert NumberFinder(number).may_be_in(packed([{"rows": [[cell]]}]))
        assert not NumberFinder(number[:-1] + str((int(number[-1]) + 1) % 10)).is_in(cell)


class TestAResend:
    def resend(self, world, name):
        new = resend_name(world.ledger, name)
        with begin_import(world.ledger, new, fingerprint=None) as importing:
            copier, rows = RowCopier(world.ledger, name, importing), UnansweredRows(world.ledger, name)
            for row in rows:
                copier.add(row)
            return finish_resend(world.ledger, name, importing), rows.live

    def test_asks_those_again_who_did_not_answer(self, world):
        numbers = [fresh_number() for _ in range(5)]
        import_all(world, "spring", roster_of([{"phone": one, "id": at} for at, one in enumerate(numbers)]))
        failed = numbers[4]
        world.until_empty(lambda number: Outcome(State.FAILED, "rejected") if number == failed else _SENT)
        verified = {"state": "verified", "verified_at": 1_764_000_000_000}
        world.ledger.client.hset(world.ledger.keys.record(numbers[0]), mapping=verified)
        world.pass_(3 * 86_400)
        resent, live = self.resend(world, "spring")

        assert (resent.name, resent.rows, live) == ("spring-resend", 3, 0)
        assert world.summary("spring").resent_as == "spring-resend"
        assert sorted(world.until_empty()) == sorted(numbers[1:4])
        kept = [row.columns["id"] for row in batch_rows(world.ledger, "spring-resend", with_columns=True)]
        assert kept == [1, 2, 3]

    def test_leaves_out_codes_that_may_still_work(self, world):
        import_all(world, "spring", roster_of([fresh_number(), fresh_number()]))
        world.until_empty()
        resent, live = self.resend(world, "spring")

        assert (resent.rows, live) == (0, 2)

    def test_of_a_resend_has_a_name_of_its_own(self, world):
        world.roster("spring", 1)
        world.roster("spring-resend", 1)

        assert resend_name(world.ledger, "spring") == "spring-resend-2"
        assert resend_name(world.ledger, "spring-resend") == "spring-resend-2"
        assert len(resend_name(world.ledger, "x" * 64)) == 64

    def test_obeys_the_cap(self, client, monkeypatch):
        world = Batches(client, monkeypatch, max_codes_per_day=1)
        import_all(world, "spring", roster_of([fresh_number()]))
        world.until_empty()
        world.pass_(3600)
        resent, _ = self.resend(world, "spring")

        assert resent.rows == 1
        assert world.until_empty() == []
        operations.cancel(world.ledger, resent.name)


_SENT = Outcome(State.CODE_SENT, verification_uuid="uuid", api_id="api")
