"""The demo: a roster, a Redis, a sandbox and a worker, and a worker that is killed meanwhile."""
