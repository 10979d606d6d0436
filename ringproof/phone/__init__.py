"""Phone numbers: parsing, numbering plans, masking and quiet hours. It does no I/O."""
