"""Plivo's VerifiedCallerId resource, served by the ledger to Plivo's own clients.

A client that repeats a request gets the same answer, and Plivo gets one request. The answers avoid each status that one
of Plivo's eight clients repeats, hides or takes for something else: `refusals.py` has the table.
"""
