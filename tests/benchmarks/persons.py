"""A web app's process: so many persons ask by `.delay`, one or two a second: `python persons.py COUNT`.

It prints each number with the moment at which it was asked for, and how many seconds `.delay` took.
"""

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.harness import fresh_number

from tasks import initiate_verification

for _ in range(int(sys.argv[1])):
    number, at = fresh_number(), time.time()
    initiate_verification.delay(number)
    print(number, at, time.time() - at, flush=True)
    time.sleep(random.uniform(0.5, 1.0))
