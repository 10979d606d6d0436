"""The commands of `ringproof`, all loaded."""

from collections.abc import Iterator

import click


def commands_of(group: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the commands of a group and of the groups in it, each with the words that name it."""
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            _, command, _ = group.resolve_command(context, [name])
            assert command is not None
            yield (*path, name), command
            yield from commands_of(command, *path, name)
