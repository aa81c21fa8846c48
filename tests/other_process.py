"""What another process does to a database, by the stdlib."""

import subprocess
import sys
from pathlib import Path


def other_process(tmp_path: Path, sql: str) -> None:
    """Run a statement on `app.db` in a folder, in another process."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "app.db"), sql], check=True)
