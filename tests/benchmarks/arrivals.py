"""What the judge saw of the sends: when each arrived, and whether it was taken."""

import math
from bisect import bisect_left, bisect_right


class Arrivals:
    """Requests that were to send a code, by the machine's monotonic clock, in the order in which they were judged."""

    def __init__(self, requests):
        self.judged = sorted((one["monotonic"], one["status"]) for one in requests if one["kind"] == "initiate")
        self.taken = [at for at, status in self.judged if status in {200, 201, 202}]
        self.refused = sum(status == 429 for _, status in self.judged)

    @property
    def seconds(self):
        """From the first that was taken to the last."""
        return self.taken[-1] - self.taken[0] if self.taken else 0.0

    @property
    def per_second(self):
        """How many were taken in a second, from the first to the last: the first only starts the clock."""
        return (len(self.taken) - 1) / self.seconds if self.seconds else 0.0

    def most_in(self, window):
        """The most that were taken in any closed window of so many seconds: what a strict limit is about."""
        return max((bisect_right(self.taken, at + window) - nth for nth, at in enumerate(self.taken)), default=0)

    def between(self, start, end):
        """How many were taken and refused from one moment to another."""
        taken = bisect_left(self.taken, end) - bisect_left(self.taken, start)
        refused = sum(start <= at < end and status == 429 for at, status in self.judged)
        return taken, refused


def within(values, percent):
    """The smallest value within which so many percent of all are."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]
