"""A web app of one version: it asks for codes and enters them, as the lines that it reads tell it."""

import sys

from ringproof import confirm_verification, initiate_verification
from ringproof.errors import Unconfirmed

for line in sys.stdin:
    command, number, *code = line.split()
    if command == "ask":
        print(initiate_verification.delay(number).id, flush=True)
    else:
        try:
            answer = confirm_verification.delay(number, code[0]).get(timeout=60)["state"]
        except Unconfirmed:  # its worker stops
            answer = "enter it again"
        print(answer, flush=True)
