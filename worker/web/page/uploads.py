"""The rosters that people have uploaded for a dry run: each waits a while for the yes to import it."""

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Final

WAITS_SECONDS: Final = 15 * 60
"""How long a person may think about a forecast."""

MOST: Final = 8
"""Rosters that wait in one process."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a roster is read, and the name of its batch."""

    name: str
    source: str
    region: str | None
    channel: str
    plus: bool
    mapping: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(slots=True)
class Upload:
    """An uploaded roster. Its file has no name, so that nothing is left of it when the process ends."""

    owner: str
    options: Options
    file: BinaryIO = field(repr=False)


class Uploads:
    """The uploads of one process, by an id that only the uploader's page has."""

    def __init__(self) -> None:
        self._uploads: dict[str, Upload] = {}

    def keep(self, upload: Upload) -> str:
        """Keep an upload, in place of an earlier one of its owner, or of the oldest one of too many; return its id.

        Call it in the event loop, which drops the upload when its time is over.
        """
        for upload_id, earlier in list(self._uploads.items()):
            if earlier.owner == upload.owner:
                self._drop(upload_id)
        while len(self._uploads) >= MOST:
            self._drop(next(iter(self._uploads)))
        upload_id = secrets.token_urlsafe(16)
        self._uploads[upload_id] = upload
        asyncio.get_running_loop().call_later(WAITS_SECONDS, self._drop, upload_id)
        return upload_id

    def take(self, upload_id: str, owner: str) -> Upload | None:
        """Return an upload of its owner, who must close its file; None if it is not there any more."""
        upload = self._uploads.get(upload_id)
        if upload is None or upload.owner != owner:
            return None
        return self._uploads.pop(upload_id)

    def _drop(self, upload_id: str) -> None:
        if upload := self._uploads.pop(upload_id, None):
            with suppress(OSError):
                upload.file.close()
