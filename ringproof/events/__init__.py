"""Events: what has become of numbers and batches, for webhooks, handlers in Python, and readers of the API."""
