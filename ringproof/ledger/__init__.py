"""The ledger: one record per number in Redis, and the scripts that alone change it."""
