"""What the command shows: one number, a batch, the sending as a whole, a forecast, and the results of requests."""
