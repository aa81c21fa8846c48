"""The stdlib as the oracle: the same steps on ``sqlite3`` and on ``dbmanager.sqlite3``."""
