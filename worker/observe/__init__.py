"""What a person on call reads: the facts in Redis, what is wrong by them, and what to do."""
