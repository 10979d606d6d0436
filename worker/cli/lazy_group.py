"""A group of commands, whose modules are loaded when they are needed."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from worker.cli.first_process import end_on_sigterm


class LazyGroup(click.Group):
    """Loads the module of a command when that command is named: all of them take a second, and each run needs one.

    `lazy` names the commands. Each has its module in `worker.cli` with its name there, and the first sentences of its
    help: `{"import": ("roster:import_", "Send a code to each number of a roster.")}`. Help and completion list these
    sentences, so `get_command` returns a command that has nothing else. `resolve_command` returns the loaded one.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy
        self.commands.update({name: click.Command(name, help=sentences) for name, (_, sentences) in lazy.items()})

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command of the group. SIGTERM ends it from here on, also as a container's first process."""
        end_on_sigterm()
        return super().main(*args, **kwargs)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the name of the command that is named first, the loaded command, and the arguments after it."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:  # completion asks for what there is not, too
            module, _, attribute = self._lazy[name][0].partition(":")
            command = getattr(import_module(f"worker.cli.{module}"), attribute)
        return name, command, rest
