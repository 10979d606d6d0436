"""The front door: `ringproof serve` answers Plivo's own clients, and any other program, over HTTP."""
