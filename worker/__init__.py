"""Ringproof's service: the worker, what it does with each number, and the `ringproof` command."""
