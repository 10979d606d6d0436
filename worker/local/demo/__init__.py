"""The demo: a roster, a Redis, a sandbox and a worker that is killed on the way."""
