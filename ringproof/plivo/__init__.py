"""Plivo's API: the client, and the one module that speaks HTTP."""
