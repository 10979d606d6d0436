"""The exit codes that the command ends with."""

from enum import IntEnum

from ringproof.ledger.record import UNFINISHED, Record, State

UNFINISHED_STATES = UNFINISHED - {State.IN_DOUBT}


class Exit(IntEnum):
    """The command's exit code. Click ends with 2 after a wrong usage."""

    DONE = 0
    REFUSED = 1
    UNFINISHED = 3

    @classmethod
    def of(cls, record: Record | None) -> "Exit":
        """Return the exit code for a number's record, or for None if the number is unknown."""
        if record is None or record.state in {State.FAILED, State.CANCELLED}:
            return cls.REFUSED
        return cls.UNFINISHED if record.state in UNFINISHED else cls.DONE
