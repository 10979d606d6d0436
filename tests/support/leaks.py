"""Where a text shows a secret of digits, though ids, times and ports in it may hold the same digits by chance."""

import re

_CHANCE = re.compile(
    r"""
      (?<![\w-])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![\w-])   # a UUID
    | \b0x[0-9a-f]+\b                                                          # an address in memory
    | (?<![\w-])(?=[0-9]*[a-fA-F])(?=[a-fA-F]*[0-9])[0-9a-fA-F]{16,}(?![\w-])  # a digest
    | (?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*[0-9])[\w-]{22}(?![\w-])  # a handle
    | (?<!\d)20[0-9]{2}-[01][0-9]-[0-3][0-9](?!\d)                             # a date
    | (?<!\d)[0-2]?[0-9]:[0-5][0-9]:[0-5][0-9](?:[.,][0-9]{1,6})?(?!\d)        # a time
    | (?<!\d)1[6-9][0-9]{8}(?:\.[0-9]+)?(?!\d)                                 # seconds since 1970
    | (?<!\d)[0-9]{1,6}\.[0-9]+(?:e-[0-9]+)?(?=[ ]?s(?:econds)?\b)              # a duration
    | (?<!\d)[0-9]{1,5}[ ]ms\b
    | (?:(?<![\d.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}|\blocalhost):[0-9]{1,5}(?!\d)  # a host with its port
    | (?:\bpid|"process")["']?[ ]?[=:]?[ ]?[0-9]{1,7}(?!\d)                    # a process
    """,
    re.VERBOSE,
)


def without_chance(text: str) -> str:
    """Return a text without its ids, times, durations, ports and process ids: any digits may be in those."""
    return _CHANCE.sub(" ", text)


def leaks(secret: str, *texts: str) -> list[str]:
    """Return the lines that show a secret.

    Up to nine digits must be a number of their own, with anything but a digit on each side: `code=7760`, `'7760'` and
    `x7760` are found, and `177601` is not. A longer secret, and one with letters, is found anywhere.

    >>> leaks("7760", "code=7760 for 1f2e7760-6c34-4a37-9d1e-0d4a52d4e1f0", "12:00:01,776 port 17760", "task x7760.")
    ['code=7760 for 1f2e7760-6c34-4a37-9d1e-0d4a52d4e1f0', 'task x7760.']
    """
    chance = secret.isdecimal() and len(secret) < 10
    found = re.compile(rf"(?<!\d){re.escape(secret)}(?!\d)" if chance else re.escape(secret))
    lines = (line for text in texts for line in text.splitlines() if secret in line)
    return [line for line in lines if found.search(without_chance(line) if chance else line)]
