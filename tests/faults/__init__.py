"""What goes wrong around a database: nothing that was acknowledged is lost, and it works again.

The stdlib's `sqlite3` says what is to be expected, and reads the file in the end.
"""
