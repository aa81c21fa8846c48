"""What is wrong with a database, and with what it is opened by.

Nothing here changes a database or makes a file beside it. Each file looks at one subject and gives
facts or findings; `examination` asks them all about one database, `environment` about the copies of
SQLite that are installed. How it is shown is the command line's.
"""
