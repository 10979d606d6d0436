"""The commands that have commands of their own. Help and completion list these, and load no module of theirs."""

import click

from worker.cli.lazy_group import LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "check": ("accounts:check", "Try the Redis and the credentials of all accounts, or of those that are named."),
        "ls": ("accounts:ls", "List the accounts, all or those that are named."),
    },
)
def accounts() -> None:
    """Show the accounts beside the default one, and try them.

    RINGPROOF_ACCOUNTS says which there are. ringproof --account NAME COMMAND is about one of them.
    """


@click.group(
    cls=LazyGroup,
    lazy={
        "cancel": ("batch:cancel", "Cancel all rows of a batch that have not begun, for good."),
        "export": ("batch:export", "Write the rows of a batch with their outcomes."),
        "ls": ("batch:list_", "List the batches, newest first."),
        "pause": ("batch:pause", "Pause a batch, until ringproof batch resume."),
        "resend": ("resend:resend", "Send codes again to the rows of a batch that did not answer."),
        "resume": ("batch:resume", "Let a paused batch go on."),
        "retry": ("batch:retry", "Send codes to the rows of a batch that failed."),
        "show": ("batch:show", "Show where a batch stands."),
    },
)
def batch() -> None:
    """Look after batches. ringproof import makes them."""


@click.group(
    cls=LazyGroup,
    lazy={
        "add": ("door:add", "Make a credential, and print its token once."),
        "ls": (
            "door:ls",
            "List the credentials, without their tokens: those of all accounts, or those of ringproof --account NAME.",
        ),
        "revoke": ("door:revoke", "Revoke a credential: within a second nobody can use it."),
    },
)
def door() -> None:
    """Show and change who may call ringproof serve.

    A credential acts for one account. The credentials of all accounts have different names.
    """


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    lazy={
        "reset": ("pace:reset", "Go back to the environment's limits, and to all caps, at once."),
        "set": ("pace:set_", "Set other limits for a while."),
        "show": ("pace:show", "Show the limits and their history."),
    },
)
@click.pass_context
def limits(context: click.Context) -> None:
    """Show the limits, or set other limits for a while."""
    if context.invoked_subcommand is None:
        from worker.cli.pace import show  # noqa: PLC0415  # the help needs none of it

        context.invoke(show)


@click.group(
    cls=LazyGroup,
    lazy={
        "ls": (
            "webhook:ls",
            "List the events that wait for another try, and those that were given up, newest first.",
        ),
        "replay": ("webhook:replay", "Send an event once more, or all events --since a time."),
        "test": ("webhook:test", "Send a test event from here, and say what the receiver answers."),
    },
)
def webhook() -> None:
    """Test webhooks, list what waits, and send events once more.

    RINGPROOF_WEBHOOK_URL says where they go, and RINGPROOF_WEBHOOK_SECRETS signs them.
    """
