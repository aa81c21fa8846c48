"""A shop whose services open databases in every way that a report has to show."""

from pathlib import Path

CATALOGUE = """import sqlite3
from contextlib import closing
from pathlib import Path

DB = Path(__file__).parents[1] / "data" / "catalogue.db"


def titles():
    with closing(sqlite3.connect(DB)) as connection:
        return [title for (title,) in connection.execute("SELECT title FROM item")]


def price(number):
    connection = sqlite3.connect(
        str(DB),
        timeout=10,  # seconds
        isolation_level=None,
    )
    try:
        return connection.execute("SELECT price FROM item WHERE number = ?", (number,)).fetchone()
    finally:
        connection.close()
"""

ORDERS = """import sqlite3

from shop.services import catalogue

ORDERS = "data/orders.db"


class Store:
    def __init__(self):
        self.connection = sqlite3.connect(ORDERS)

    def place(self, number, amount):
        catalogue.price(number)
        self.connection.execute("INSERT INTO orders VALUES (?, ?)", (number, amount))
        self.connection.commit()


def cancel(number):
    connection = sqlite3.connect(ORDERS)
    connection.execute("DELETE FROM orders WHERE number = ?", (number,))
    connection.close()


def stock(number):
    with sqlite3.connect(catalogue.DB) as connection:
        with sqlite3.connect(catalogue.DB) as other:
            other.execute("UPDATE item SET seen = 1 WHERE number = ?", (number,))
        return connection.execute("SELECT stock FROM item WHERE number = ?", (number,)).fetchone()
"""

MAIL = '''import sqlite3


class Connection(sqlite3.Connection):
    """Remembers nothing."""


def opened(path):
    return sqlite3.connect(path, factory=Connection)


def queue(path, message):
    connection = sqlite3.connect(f"{path}/mail-{message['day']}.db")
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("INSERT INTO mail VALUES (?, '<script>alert(1)</script>')", (message,))
    connection.commit()
'''

REPORTS = """import sqlite3

import aiosqlite
from sqlalchemy import create_engine

from shop.services import catalogue, orders

engine = create_engine("sqlite:///warehouse.db")


async def turnover():
    async with aiosqlite.connect(orders.ORDERS) as connection:
        return await connection.execute_fetchall("SELECT sum(amount) FROM orders")


def dearest():
    return sqlite3.connect(catalogue.DB).execute("SELECT max(price) FROM item").fetchone()
"""
SERVICES = {"catalogue": CATALOGUE, "orders": ORDERS, "mail": MAIL, "reports": REPORTS}

FILES = {
    "shop/__init__.py": "",
    "shop/services/__init__.py": "",
    **{f"shop/services/{name}.py": text for name, text in SERVICES.items()},
    "shop/services/old.py": "# sqlite3.connect, as it was\nprint 'sqlite3.connect'\n",
    "tests/test_catalogue.py": "from shop.services.catalogue import titles\n",
}
BASELINE = 'version = 1\npaths = ["shop"]\nservices_done = ["shop.services.users"]\n'


def write_shop(folder: Path) -> None:
    """Write the files of the shop into a folder."""
    write(folder, FILES)


def write_large_shop(folder: Path, *, services: int, modules: int) -> int:
    """Write a shop of many services, with as many modules each; give the number of its calls."""
    files = {"shop/__init__.py": "", "shop/services/__init__.py": ""}
    texts = list(SERVICES.values())
    for service in range(services):
        package = f"shop/services/department_{service:02}"
        files[f"{package}/__init__.py"] = ""
        for module in range(modules):
            text = texts[(service + module) % len(texts)]
            files[f"{package}/module_{module:02}.py"] = text.replace(
                "data/orders.db", f"data/orders-{service % 7}.db"
            )
    write(folder, files)
    calls = [text.count(".connect(") + text.count("= create_engine(") for text in texts]
    every = range(services * modules)
    return sum(calls[(at // modules + at % modules) % len(texts)] for at in every)


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
