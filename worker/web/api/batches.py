"""Batches: import a roster, see how it goes, pause, resume or cancel it, and get its rows with their outcomes."""

import io
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from itertools import chain, islice
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, StreamingResponse

from ringproof import errors
from ringproof.batches import operations
from ringproof.batches.export import csv_lines, export_columns, ndjson_lines
from ringproof.batches.forecast import Tally, forecast
from ringproof.batches.importing import BatchImport, begin_import, rejects_text, tally_of
from ringproof.batches.kept_columns import kept_names
from ringproof.batches.model import LONGEST_NAME, BatchState, check_name
from ringproof.batches.model import Batch as Summary
from ringproof.batches.rows import batch_rows, rejected_rows
from ringproof.batches.summary import existing_batch
from ringproof.ledger.audit import note
from ringproof.ledger.credentials import Credential
from ringproof.ledger.ledger import Ledger
from ringproof.rosters.roster import Roster, open_roster
from worker.web.api.access import Here, Importer, ImporterOrReader, Reader
from worker.web.api.models import REGION, Batch, Forecast
from worker.web.api.problems import Refused, problems
from worker.web.api.upload import UploadedFile, cut_off
from worker.web.site import Site

MOST_UPLOADS: Final = 4
"""Rosters that are read at once: each has a thread, and reading them is work for one processor."""

ROSTER_TYPES: Final = ("text/csv", "application/x-ndjson", "application/gzip")

LINES_AT_ONCE: Final = 500
"""Lines of an export that are sent as one piece, some 100 KB."""

NAME: Final = "^[A-Za-z0-9._]([A-Za-z0-9._ -]*[A-Za-z0-9._-])?$"
"""As `check_name` has it."""

router = APIRouter(tags=["batches"])

Name = Annotated[str, Path(description="The name of the batch.")]


class Upload(BaseModel):
    """How the server reads a roster, and what it does with the rows."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=LONGEST_NAME, pattern=NAME, description="The name of the batch.")
    dry_run: bool = Field(default=True, description="Answer what the import would send, and import nothing.")
    region: str | None = Field(default=None, pattern=REGION, description="The country of numbers without one.")
    channel: Literal["sms", "call", "auto"] = Field(default="sms", description="For rows without a channel.")
    plus: bool = Field(default=False, description="Read numbers that begin with 1 to 9 as ones whose + was lost.")
    map: list[str] = Field(default=[], description="What columns contain: number=Phone, alias=Name.")
    max_reject_share: float = Field(default=0.1, ge=0, le=1, description="With more rejects, import nothing.")
    columns: bool = Field(default=True, description="Keep all columns and the rejected rows, for the export.")
    paused: bool = Field(default=False, description="Send nothing until the batch is resumed.")


def expect_roster(request: Request) -> None:
    """Raise `Refused` unless the body is said to be a roster."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ROSTER_TYPES:
        detail = f"the body must be a roster; send it as one of {', '.join(ROSTER_TYPES)}"
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_a_roster", detail)


@router.post(
    "/batches",
    dependencies=[Depends(expect_roster)],
    response_model=Forecast,
    response_description="A dry run: nothing was imported.",
    responses={
        201: {
            "model": Batch,
            "description": "The batch is imported, and its codes are sent at the pace.",
            "headers": {"Location": {"schema": {"type": "string"}}},
        },
        **problems(400, 409, 413, 415, 422),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ROSTER_TYPES},
        }
    },
)
async def import_roster(
    upload: Annotated[Upload, Query()], request: Request, site: Here, caller: Importer
) -> Forecast | Response:
    """Import a roster, a CSV or NDJSON file, packed with gzip or not; first as a dry run, which is the default.

    It is read as it comes in. Nothing is sent before all of it was read. An upload that is cut off, or is refused,
    leaves nothing behind.
    """
    uploads: CapacityLimiter = request.app.state.uploads
    if not uploads.available_tokens:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy", f"{MOST_UPLOADS} rosters are read now; ask again later")
    file = UploadedFile(request, site.stopping)
    try:
        read = await to_thread.run_sync(partial(_import, site, file, upload, caller), limiter=uploads)
    except ClientDisconnect:
        raise cut_off() from None
    finally:
        with suppress(ClientDisconnect, Refused):
            await file.drain()
    if isinstance(read, Forecast):
        return read
    place = f"{request.scope.get('root_path', '')}/batches/{quote(upload.name)}"
    batch = Batch.model_validate(read).model_dump(mode="json")
    return JSONResponse(batch, HTTPStatus.CREATED, {"Location": place})


def _import(site: Site, file: UploadedFile, upload: Upload, caller: Credential) -> Summary | Forecast:
    name = check_name(upload.name)
    region = upload.region or site.settings.region
    with open_roster(
        io.BufferedReader(file), mapping=_mapping(upload.map), region=region, channel=upload.channel, plus=upload.plus
    ) as roster:
        if upload.dry_run:
            tally = _read(roster, file, upload)
            return Forecast.of(tally, forecast(tally, site.ledger))
        with begin_import(site.ledger, name, fingerprint=roster.fingerprint, source=roster.name) as importing:
            try:
                if upload.columns:
                    importing.keep_columns(roster.columns)
                tally = _read(roster, file, upload, importing)
                note(site.ledger, _actor(caller), "import", f"{name}: {tally.channels.total()} rows")
            except BaseException:
                with suppress(errors.LedgerUnavailable):
                    importing.abandon()
                raise
            return importing.finish(paused=upload.paused)


def _read(roster: Roster, file: UploadedFile, upload: Upload, importing: BatchImport | None = None) -> Tally:
    """Read a roster to its end. Raises `InvalidRoster` if no row can be sent to, or too many are rejected."""
    tally = tally_of(file.while_wanted(roster), roster, importing)
    if tally.rejected_share > upload.max_reject_share:
        share = f"{tally.rejected:,} of {tally.rows - tally.reasons['empty']:,} rows are rejected"
        remedy = "correct them, or allow more with max_reject_share"
        raise errors.InvalidRoster(roster.name, f"{share} ({rejects_text(roster)})", remedy)
    return tally


def _mapping(pairs: Sequence[str]) -> dict[str, str | int] | None:
    parts = [pair.partition("=") for pair in pairs]
    if not all(role and column for role, _, column in parts):
        raise errors.InvalidRequest("map", "(not shown)", "write each as ROLE=COLUMN: number=Phone, alias=Name")
    return {role: column for role, _, column in parts} or None


@router.get("/batches/{name}", responses=problems(404))
async def read_batch(name: Name, site: Here, _caller: ImporterOrReader) -> Batch:
    """Say where a batch stands."""
    return Batch.model_validate(await site.threads(existing_batch, site.ledger, name))


@router.post("/batches/{name}/pause", responses=problems(404, 409))
async def pause(name: Name, site: Here, caller: Importer) -> Batch:
    """Stop sending for a batch within a second, until it is resumed."""
    return await site.threads(_change, site.ledger, name, "pause", caller)


@router.post("/batches/{name}/resume", responses=problems(404, 409))
async def resume(name: Name, site: Here, caller: Importer) -> Batch:
    """Let a paused batch go on."""
    return await site.threads(_change, site.ledger, name, "resume", caller)


@router.post("/batches/{name}/cancel", responses=problems(404, 409))
async def cancel(name: Name, site: Here, caller: Importer) -> Batch:
    """Cancel all rows that have not begun, for good. A batch whose import was cut short is deleted."""
    return await site.threads(_change, site.ledger, name, "cancel", caller)


_CHANGES: Final = {
    "pause": (operations.pause, {BatchState.PAUSED}),
    "resume": (operations.resume, {BatchState.RUNNING, BatchState.COMPLETED}),
    "cancel": (operations.cancel, {BatchState.CANCELLED}),
}
"""Each change, and the states that it may end in. Elsewhere the batch has ended, or is still imported."""


def _change(ledger: Ledger, name: str, action: str, caller: Credential) -> Batch:
    change, wanted = _CHANGES[action]
    existing_batch(ledger, name)
    note(ledger, _actor(caller), f"batch {action}", name)
    batch = change(ledger, name)
    if batch.state not in wanted:
        raise Refused(HTTPStatus.CONFLICT, "batch_state", f"the batch is {batch.state}; there is nothing to {action}")
    return Batch.model_validate(batch)


class Lines(StreamingResponse):
    """An export, as it is described in the OpenAPI document."""

    media_type = "text/csv"


@router.get(
    "/batches/{name}/export",
    response_class=Lines,
    responses={
        200: {
            "description": "One line for each row, with all columns of the roster.",
            "content": {kind: {"schema": {"type": "string"}} for kind in ("text/csv", "application/x-ndjson")},
        },
        **problems(404),
    },
)
async def export(
    name: Name,
    site: Here,
    caller: Reader,
    format: Literal["csv", "ndjson"] = "csv",  # noqa: A002  # its public name
) -> Lines:
    """Stream the rows of a batch with their outcomes, and then those that the import rejected."""
    lines = await site.threads(_exported, site.ledger, name, format, caller)
    return Lines(_pieces(site, caller, lines), media_type="application/x-ndjson" if format == "ndjson" else None)


def _exported(ledger: Ledger, name: str, format_: str, caller: Credential) -> Iterator[str]:
    existing_batch(ledger, name)
    note(ledger, _actor(caller), "batch export", name)
    columns = export_columns(kept_names(ledger, name))
    rows = chain(batch_rows(ledger, name, with_columns=True), rejected_rows(ledger, name))
    if format_ == "ndjson":
        return ndjson_lines(rows, masked=False, columns=columns)
    return csv_lines(rows, masked=False, excel=False, columns=columns)


async def _pieces(site: Site, caller: Credential, lines: Iterator[str]) -> AsyncIterator[str]:
    """Yield the lines in pieces, because each piece goes through a thread.

    Raises `Refused` once the caller's credential is revoked: the connection breaks, so that nobody takes what has come
    for the whole.
    """
    while piece := await site.threads(lambda: "".join(islice(lines, LINES_AT_ONCE))):
        if not await site.locks.still_holds(caller):
            raise Refused(HTTPStatus.UNAUTHORIZED, "unauthorized", "this credential is revoked")
        yield piece


def _actor(caller: Credential) -> str:
    return f"{caller.name}@door"


def limiter() -> Any:
    """Return what bounds the uploads of one process."""
    return CapacityLimiter(MOST_UPLOADS)
