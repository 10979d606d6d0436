"""What a child of a prefork pool tells its parent about an error: the error and the end of its traceback's text.

Billiard sends all frames of a traceback, too, with the position of each instruction: 28 KB for eight frames. The parent
needs none of them, for the child has logged the error. Such a message is longer than what billiard writes in one piece,
so the parent may have read a part of it when its event loop ends, which forgets that part. It then waited for ever for
a child that was writing the rest.
"""

import copy
from typing import Any, Final

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.reduction import ForkingPickler

ONE_PIECE: Final = 16_384
"""How many bytes a message may have that billiard writes in one piece (`billiard.connection._send_bytes`)."""

LONGEST_TEXT: Final = 4_000
"""How many characters of a traceback's text are sent, in UTF-8 of up to four bytes: room is left for the error."""


def send_errors_in_one_piece() -> None:
    """Have billiard send errors without their frames. Called in the main process, before any fork."""
    ForkingPickler.register(ExceptionInfo, _reduce)


def _reduce(info: ExceptionInfo) -> Any:
    """Return how an error is pickled. Who loads it gets `tb` None, as for an error that was never raised."""
    short = copy.copy(info)
    short.tb = None
    short.traceback = info.traceback[-LONGEST_TEXT:]
    if isinstance(short.exception, ExceptionWithTraceback):  # it has the text once more
        short.exception = short.exception.exc
    return short.__reduce_ex__(2)
