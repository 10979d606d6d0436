"""The demo: a roster, a Redis, a sandbox and a worker, and one child of the worker that is killed on the way."""
