"""``dbmanager rules``: what the rules say of themselves."""

import json
from typing import TypedDict

import click

from dbmanager import _core


class Rule(TypedDict):
    """A rule in its own words."""

    code: str
    name: str
    what: str
    why: str
    example: tuple[str, str]
    safety: str


def all_rules() -> list[Rule]:
    """Give the rules by which `migrate` rewrites calls, by their codes."""
    rules: list[Rule] = json.loads(_core._rules())
    return rules


@click.command(
    epilog="Examples: `dbmanager rules` lists them, `dbmanager rules DBM101` tells of one."
)
@click.argument("code", required=False)
@click.option("--json", "is_json", is_flag=True, help="Tell of them as JSON.")
def rules(code: str | None, is_json: bool) -> None:
    """Tell of the rules by which `migrate` rewrites calls."""
    known = {rule["code"]: rule for rule in all_rules()}
    if code is not None and code.upper() not in known:
        raise click.UsageError(f"there is no rule '{code}'; there are {', '.join(known)}")
    wanted = list(known.values()) if code is None else [known[code.upper()]]
    if is_json:
        click.echo(json.dumps(wanted, indent=1))
    elif code is None:
        for rule in wanted:
            click.echo(f"{rule['code']}  {rule['name']}: {rule['what']}")
    else:
        _tell(wanted[0])


def _tell(rule: Rule) -> None:
    before, after = (
        "\n".join(f"    {line}" for line in text.split("\n")) for text in rule["example"]
    )
    click.echo(f"{rule['code']}: {rule['name']}\n\n{rule['what']}\n\n{rule['why']}\n")
    click.echo(f"{rule['safety']}\n\nBefore:\n\n{before}\n\nAfter:\n\n{after}")
