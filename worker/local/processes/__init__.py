"""Processes that end with the process that started them: a private Redis, and children."""
