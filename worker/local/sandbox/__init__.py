"""Plivo on this machine: its HTTP resource, the state behind it, people who answer their phones, and misfortunes."""
