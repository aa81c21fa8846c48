"""``dbmanager completion``: what a shell reads to complete the commands."""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_DBMANAGER_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="Examples: `dbmanager completion bash > ~/.local/share/bash-completion/completions/"
    "dbmanager`; `dbmanager completion zsh > FOLDER/_dbmanager` for a folder that fpath names; "
    "`dbmanager completion fish > ~/.config/fish/completions/dbmanager.fish`."
)
@click.argument("shell", type=click.Choice(_SHELLS), metavar="[bash|zsh|fish]")
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Write the completion for a shell.

    Put it where the shell looks for completions. Commands, options, and their values are completed
    from then on, in every new shell.
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"this click knows no completion for {shell}")
    root = context.find_root()
    click.echo(found(root.command, {}, "dbmanager", VARIABLE).source())
