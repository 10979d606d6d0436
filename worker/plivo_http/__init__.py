"""Plivo's HTTP, as a server speaks it: what the sandbox and the front door share."""
