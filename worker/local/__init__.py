"""Plivo's sandbox, a private Redis and the demo, all for one machine. Production never imports them."""
