"""Plivo on this machine: the resource, the state behind it, the people whose phones ring, and misfortunes."""
