"""Plivo on this machine: the resource, the account behind it, the people whose phones ring, and misfortunes."""
