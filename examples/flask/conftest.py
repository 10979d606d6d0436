"""The application reads its secret when it is imported."""

import os

os.environ.setdefault("SECRET_KEY", "a test's")
