"""Celery, with Redis' time moved by what the key `test:clock` says: `celery_with_clock.py -A worker worker`.

`TEST_CLOCK` in the environment is another piece of Lua in the place of this clock.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.number_in_ledger import CLOCK

import ringproof.ledger.scripts

clock = os.environ.get("TEST_CLOCK", CLOCK)
source = ringproof.ledger.scripts.lua_source
ringproof.ledger.scripts.lua_source = lambda name: clock if name == "lib/clock" else source(name)

if __name__ == "__main__":
    from celery.__main__ import main

    sys.exit(main())
