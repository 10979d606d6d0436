"""Ringproof's machine: the ledger, the pace, Plivo's client, the result backend and the processes around them."""
