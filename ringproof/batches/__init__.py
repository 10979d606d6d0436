"""Batches: rosters whose rows are verified at the pace, and what a person does with them."""
