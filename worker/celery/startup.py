"""How the commands of Celery read Ringproof's settings: a wrong environment ends them with a list, and no traceback."""

import click

from ringproof import runtime
from ringproof.celery.app import app
from ringproof.errors import Misconfigured
from ringproof.settings import Settings


def settings_or_exit() -> Settings:
    """Read the environment; `worker` and `beat` end with the list of everything that is wrong in it.

    A worker needs Plivo's credentials, too. A host project's own worker may make requests. It is a producer, and needs
    no credentials: for it this function only reads the environment.

    Raises `Misconfigured` outside such a command.
    """
    context = click.get_current_context(silent=True)
    if context is None or getattr(context.obj, "app", None) is not app:
        return runtime.settings()
    try:
        runtime.refuse_test_mode()
        return runtime.settings(worker=context.info_name == "worker")
    except Misconfigured as error:
        raise click.ClickException("\n       ".join(error.problems)) from error
