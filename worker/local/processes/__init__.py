"""Processes that live no longer than the one that started them: a private Redis, and children."""
