"""What runs on one machine for demos and tests: Plivo's sandbox, a private Redis. Production never imports it."""
