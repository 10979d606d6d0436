"""A roster on the page: it is uploaded, a forecast shows what an import would do, and a yes imports it."""

import asyncio
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from anyio import to_thread
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from ringproof import errors
from ringproof.batches.forecast import Tally, forecast
from ringproof.batches.importing import begin_import, tally_of
from ringproof.batches.model import LONGEST_NAME, check_name
from ringproof.ledger.audit import note
from ringproof.phone.country_list import PLIVO_SERVES
from ringproof.phone.number import optional_region
from ringproof.printable import printable
from ringproof.rosters.roster import Roster, open_roster
from ringproof.rosters.row import Reject, Row
from worker.views.forecast import forecast_facts
from worker.views.text import counted
from worker.web.page.batches import path_of
from worker.web.page.guard import MOST_FIELDS, Refused, Visit
from worker.web.page.rendering import capitalized
from worker.web.page.shared import Shared
from worker.web.page.uploads import Options, Upload
from worker.web.site import Site

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LARGEST: Final = 256 << 20
"""Bytes of an upload: some millions of rows. `ringproof import` and the API take more."""

LARGEST_FIELD: Final = 4096

MOST_REJECTED: Final = 0.1
"""With a larger share of rejected rows the page asks once more: the columns may have been read wrongly."""

_OTHERS: Final = "ringproof import or the API, which take any size"

STALLED_SECONDS: Final = 60.0
"""How long the next piece of an upload may take to come. After that its sender is gone."""

_ROLES: Final = ("number", "alias")
"""The columns that a person may name."""


class _Named(io.RawIOBase):
    """An upload's file from its beginning, with the name that its sender gave it. Closing it leaves the file open."""

    def __init__(self, upload: Upload) -> None:
        super().__init__()
        self.name, self._file = upload.options.source, upload.file
        self._file.seek(0)

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill the buffer."""
        target = memoryview(buffer)
        chunk = self._file.read(len(target))
        target[: len(chunk)] = chunk
        return len(chunk)


@dataclass(frozen=True, slots=True)
class Read:
    """A roster that was read to its end."""

    tally: Tally
    facts: Mapping[str, str]

    @property
    def rows(self) -> int:
        """Rows that can be sent to."""
        return self.tally.channels.total()

    @property
    def has_many_rejects(self) -> bool:
        """Whether so many rows are rejected that the columns may have been read wrongly."""
        return self.tally.rejected_share > MOST_REJECTED


async def read_upload(request: Request, shared: Shared) -> Mapping[str, Any]:
    """Return the fields of a form with a file. Raises `Refused` if it is too large, stalls, or is no such form."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "choose a file on the page Import, and send it there")
    if not shared.receiving.available_tokens:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "other rosters come in now; send yours again in a minute")
    bounded = Request(request.scope, _bounded(request))
    try:
        async with shared.receiving:
            form: FormData = await bounded.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=LARGEST_FIELD)
    except HTTPException as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the form could not be read ({error.detail}); reload the page") from None
    except OSError as error:
        text = f"this server cannot keep the file ({error.strerror}): give its /tmp room, or use {_OTHERS}"
        raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, text) from None
    return dict(form)


def _bounded(request: Request) -> Any:
    received = 0

    async def receive() -> Message:
        nonlocal received
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                message = await request.receive()
        except TimeoutError:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the upload was cut off; send the roster again") from None
        received += len(message.get("body", b""))
        if received > LARGEST:
            text = f"the file has more than {LARGEST >> 20} MiB; use {_OTHERS}"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
        return message

    return receive


async def form(visit: Visit) -> Response:
    """Answer with the form for a roster."""
    return _form(visit, {}, "")


async def dry_run(visit: Visit) -> Response:
    """Read a roster, show what an import would do, and keep the file for the yes."""
    file = visit.form.get("roster")
    if not isinstance(file, UploadFile) or not file.filename:
        return _form(visit, visit.form, "choose a file: CSV or NDJSON, packed with gzip or not")
    upload: Upload | None = None
    try:
        options = _options(visit, file.filename)
        upload = Upload(visit.token.get_secret_value(), options, file.file)
        read = await to_thread.run_sync(_forecast, visit.site, upload, limiter=visit.shared.reading)
    except (errors.InvalidRoster, errors.InvalidRequest) as error:
        file.file.close()
        return _form(visit, visit.form, _advice(error.message))
    except BaseException:
        file.file.close()
        raise
    return visit.page(
        "forecast.html", read=read, options=options, upload=visit.shared.uploads.keep(upload), serves=PLIVO_SERVES
    )


def _form(visit: Visit, form: Mapping[str, Any], problem: str) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    return visit.page("import.html", status, fields=fields, problem=problem, region=visit.site.settings.region or "")


def _options(visit: Visit, filename: str) -> Options:
    """Return how the form says that the roster is read. Raises `InvalidRequest`."""
    form, source = visit.form, printable(PurePath(filename.replace("\\", "/")).name)[:200]
    name = form.get("name", "").strip() or _name_of(source)
    written = {role: form.get(role, "").strip() for role in _ROLES}
    return Options(
        check_name(name),
        source,
        optional_region(form.get("region", "").strip()) or visit.site.settings.region,
        form.get("channel", "sms"),
        "plus" in form,
        {role: int(column) if column.isdecimal() else column for role, column in written.items() if column},
    )


def _name_of(source: str) -> str:
    """Return a batch's name for a file: `People (May).csv.gz` becomes `People May`."""
    stem = PurePath(source.removesuffix(".gz")).stem
    return " ".join(re.sub(r"[^A-Za-z0-9._ -]+", " ", stem).split()).strip("- ")[:LONGEST_NAME].strip()


def _forecast(site: Site, upload: Upload) -> Read:
    with _opened(upload) as roster:
        tally = tally_of(_unless_stopping(site, roster), roster)
        facts = forecast_facts(tally, forecast(tally, site.ledger), [roster])
    return Read(tally, {capitalized(name): _advice(text) for name, text in facts.items() if text})


def _opened(upload: Upload) -> Roster:
    options = upload.options
    return open_roster(
        io.BufferedReader(_Named(upload)),
        mapping=dict(options.mapping) or None,
        region=options.region,
        channel=options.channel,
        plus=options.plus,
    )


def _unless_stopping(site: Site, roster: Roster) -> Iterator[Row | Reject]:
    """Yield what a roster has. Raises `Refused` when this process stops."""
    for outcome in roster:
        if site.stopping.is_set():
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "this process stops, and nothing was imported; send it again")
        yield outcome


async def import_(visit: Visit) -> Response:
    """Import the roster whose forecast was shown."""
    owner = visit.token.get_secret_value()
    upload = visit.shared.uploads.take(visit.form.get("upload", ""), owner)
    if upload is None:
        return _form(visit, {}, "the file waited too long for your answer, or was imported already; choose it again")
    try:
        await to_thread.run_sync(_import, visit, upload, limiter=visit.shared.reading)
    except (errors.BatchExists, errors.BatchBusy) as error:
        return _form(visit, visit.form, error.message)
    finally:
        upload.file.close()
    return visit.go_to(f"{path_of(upload.options.name)}?done=imported")


def _import(visit: Visit, upload: Upload) -> None:
    ledger, name = visit.site.ledger, upload.options.name
    with (
        _opened(upload) as roster,
        begin_import(ledger, name, fingerprint=roster.fingerprint, source=upload.options.source) as importing,
    ):
        try:
            importing.keep_columns(roster.columns)
            tally = tally_of(_unless_stopping(visit.site, roster), roster, importing)
            note(ledger, visit.actor, "import", f"{name}: {counted(tally.channels.total(), 'row')}")
        except BaseException:
            with suppress(errors.LedgerUnavailable):
                importing.abandon()
            raise
        importing.finish(paused="paused" in visit.form)


def _advice(text: str) -> str:
    """Write an advice of the command's in the words of the form."""
    text = text.replace("plus=True", "“The + was lost”").replace("--plus", "tick “The + was lost”")
    text = re.sub(r"--map alias=(?:'[^']*'|[^)\s]+)", "to use it, name it under Columns", text)
    text = re.sub(r"\bmapping=\{'(\w+)': '?COLUMN'?\}", r"name the column of the \1", text)
    return re.sub(r"\b(?:--)?region[= ]'?US'?", "the country US", text)
