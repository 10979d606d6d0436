"""The settings of the tests, and of mypy: no secret is needed, and a password is stored quickly."""

import os

os.environ.setdefault("SECRET_KEY", "a test's")

from mysite.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
