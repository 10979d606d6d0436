"""Sending: the way of one number, or of many, from its slot to Plivo and back to the ledger."""
