"""Celery for programs: the application, its broker and result backend, and the two tasks that programs call."""
