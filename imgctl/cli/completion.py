"""`imgctl completion`: the shell script that completes command lines."""

import inspect

import click
from click.shell_completion import get_completion_class

from imgctl.cli.common.layout import Command
from imgctl.cli.common.stdout import to_stdout

EXAMPLES = """
imgctl completion bash > ~/.local/share/bash-completion/completions/imgctl
imgctl completion zsh > "${fpath[1]}/_imgctl"
imgctl completion fish > ~/.config/fish/completions/imgctl.fish
"""
SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_IMGCTL_COMPLETE"


def show(shell: str) -> int:
    """Print the script that completes imgctl's command lines in a shell.

    It completes commands, options and files; for an ID the newest images whose id begins so, for a USER the owners of
    images, for a SOURCE the [source.NAME] tables. IDs and users come from the catalog; when it does not respond within
    a second, none are offered.
    """
    complete = get_completion_class(shell)
    assert complete is not None
    root = click.get_current_context().find_root()
    with to_stdout():
        click.echo(complete(root.command, {}, "imgctl", VARIABLE).source())
    return 0


command = Command(
    callback=show,
    params=[click.Argument(["shell"], type=click.Choice(SHELLS))],
    text=inspect.cleandoc(show.__doc__ or ""),
    examples=EXAMPLES,
    main=(),
    common=(),
)
