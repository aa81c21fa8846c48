"""How a report is written: one form a file."""
