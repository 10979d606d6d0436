"""Rosters: files of phone numbers, read row by row, and the files written beside them."""
