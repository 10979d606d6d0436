"""The doctor: everything that can be tried on an installation is tried, and each check says what to do."""
