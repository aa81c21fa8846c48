"""The command line: ``python -m dbmanager``."""

import sys

from dbmanager.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
