"""Plivo on this machine: the resource, the carrier behind it, the people whose phones ring, and misfortunes."""
