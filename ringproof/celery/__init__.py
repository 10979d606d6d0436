"""The Celery side of a producer: the application, its broker, its result backend, and the two tasks that it calls."""
