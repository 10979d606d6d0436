"""Celery as in production, but for the question that a worker asks at its start.

`python without_first_question.py -A worker worker …`. The comparison's stub knows no list of numbers: it would answer
with a 401, which pauses all sending.
"""

import sys

from worker.sending import first_question

first_question.ask_first = lambda: None

if __name__ == "__main__":
    from celery.__main__ import main

    sys.exit(main())
