"""The page docs/rules.md: what the rules say of themselves, as Markdown.

``python -m dbmanager.cli.rules_page FILE`` writes it.
"""

import sys
import textwrap
from pathlib import Path

from dbmanager.cli.rules import Rule, all_rules

_HEAD = """# The rules of `dbmanager migrate`

<!-- Made from the rules by `make docs-commands`: do not edit. -->

`dbmanager migrate` goes by the rules that are safe for a call, and by unsafe ones with `--unsafe`.
See [migrate](migrate.md)."""
_WIDTH = 130


def page() -> str:
    """Give the page."""
    rules = all_rules()
    contents = [f"| [{rule['code']}](#{_anchor(rule)}) | {rule['name']} |" for rule in rules]
    table = "\n".join(["| Rule | |", "|---|---|", *contents])
    return "\n\n".join([_HEAD, table, *map(_section, rules)]) + "\n"


def _section(rule: Rule) -> str:
    before, after = (f"```py\n{text}\n```" for text in rule["example"])
    return "\n\n".join(
        [
            f"## {_title(rule)}",
            _filled(rule["what"]),
            _filled(f"**Why.** {rule['why']}"),
            f"{before}\n\nbecomes\n\n{after}",
            _filled(f"**Safety.** {rule['safety']}"),
        ]
    )


def _title(rule: Rule) -> str:
    return f"{rule['code']}: {rule['name']}"


def _anchor(rule: Rule) -> str:
    """Give what a title is linked by: lower case, without signs, blanks as hyphens."""
    kept = (sign for sign in _title(rule).lower() if sign.isalnum() or sign in {" ", "-"})
    return "".join(kept).replace(" ", "-")


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
