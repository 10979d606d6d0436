"""A number, a batch and sending as a whole, as a person reads them."""
