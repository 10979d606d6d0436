"""What is in a queue and is no message."""


class NotAMessageError(ValueError):
    """Junk that another program has put into a queue. It is off the queue, and nothing was done with it."""
