"""What a crash reporter such as Sentry sends: a chain of errors, and the variables of each function in their traces."""

import sys


def errors_of(error):
    """The error and all that led to it. Sentry leaves out those that `from None` hides; others do not."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def report(error, own=__file__):
    """All texts of a report, except the variables of the file `own`, which are a program's own affair."""
    found = []
    for one in errors_of(error):
        found += [str(one), repr(one), repr(vars(one))]
        trace = one.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename != own:
                found += [shown(value) for value in trace.tb_frame.f_locals.values()]
            trace = trace.tb_next
    return found


def shown(value):
    """A variable as a reporter shows it: containers with what is in them."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001
        return f"<{type(error).__name__}>"


def reported(call, own=None):
    """The report of the error with which a call ends."""
    try:
        call()
    except Exception as error:  # noqa: BLE001
        return report(error, own or sys._getframe(1).f_code.co_filename)
    raise AssertionError("it did not fail")
