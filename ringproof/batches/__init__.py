"""Batches: rosters that were imported, and are sent at the pace.

`importing` stores a roster as a batch, `feeding` hands its rows to the ledger, and `operations` pauses, resumes,
cancels and retries it. `summary` counts the rows; `rows` and `export` read them. `forecast` says what an import would
send. `erasure` deletes a number.
"""
