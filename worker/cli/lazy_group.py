"""A group of commands, whose modules are loaded when they are needed."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from worker.cli.first_process import end_on_sigterm


class LazyGroup(click.Group):
    """Loads the module of a command when that command is named: all of them take 400 ms, and each run needs one.

    `lazy` names the commands, each with its module in `worker.cli` and its name there: `{"import": "roster:import_"}`.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command of the group. SIGTERM ends it from here on, also as a container's first process."""
        end_on_sigterm()
        return super().main(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None if there is none of this name."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, name = self._lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"worker.cli.{module}"), name)
        return command
