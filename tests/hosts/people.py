"""People who ask from a web app on a host of its own: `python people.py SEED`, until SIGTERM.

One asks every half second or so, and asks again after an error, as the error's text says. Each call is a line: the
number, when `.delay` was called and how many seconds it took, and `taken` or the error's name.
"""

import os
import random
import signal
import sys
import time
from threading import Event, Thread

from ringproof.errors import RingproofError
from tasks import initiate_verification

AGAIN_SECONDS = 1.0


def ask(number):
    """Until it is taken."""
    while True:
        at, outcome = time.time(), "taken"
        try:
            initiate_verification.delay(number)
        except RingproofError as error:
            outcome = type(error).__name__
        line = f"{number} {at} {time.time() - at} {outcome}\n"
        os.write(sys.stdout.fileno(), line.encode())  # at once, since others write, too
        if outcome == "taken":
            return
        time.sleep(AGAIN_SECONDS)


if __name__ == "__main__":
    ended = Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    number = 2_010_000 + 10_000 * int(sys.argv[1])
    while not ended.wait(random.uniform(0.3, 0.7)):
        Thread(target=ask, args=[f"+1212{number}"]).start()
        number += 1
