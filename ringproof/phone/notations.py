"""How settings about numbers are written, as errors say it."""

from typing import Final

COUNTRIES: Final = (
    "with commas between them: the two ISO 3166 letters of each country, or all; +881 for a network without a country; "
    "personal for personal numbers, too. Such as US,CA or all,+881,personal"
)

QUIET_HOURS: Final = "write quiet hours as two different times of day, such as 21:00-08:00"
