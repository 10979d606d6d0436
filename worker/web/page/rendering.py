"""How a page becomes HTML: the templates, and the texts of others in them."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from ringproof.clock import duration_text, iso
from ringproof.printable import printable
from worker.plivo_http.page_headers import HEADERS, NOT_STORED
from worker.views.text import clock, counted

FOLDER: Final = Path(__file__).parent


def render(template: str, **facts: Any) -> str:
    """Return a template as HTML, with these facts in it."""
    return _environment().get_template(template).render(**facts)


def respond(template: str, status: HTTPStatus = HTTPStatus.OK, **facts: Any) -> Response:
    """Return a page as an answer."""
    return HTMLResponse(render(template, **facts), status, headers={**HEADERS, **NOT_STORED})


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {
        "clock": time_element,
        "count": lambda number: f"{number:,}",
        "counted": counted,
        "duration": duration_text,
        "outcome": outcome_text,
        "path": lambda text: quote(text, safe=""),
        "percent": percent,
    }
    return environment


def _shown(value: object) -> object:
    """Return a text as a page may have it: marks that turn a line around or do not print are replaced."""
    return printable(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value


def time_element(when: datetime | None) -> Markup:
    """Return a moment as HTML, with the text of `clock`; a dash for None."""
    return Markup('<time datetime="{}">{}</time>').format(iso(when), clock(when)) if when else Markup("–")


def capitalized(text: str) -> str:
    """Return a text with a capital at its beginning, and the rest as it is: `Outside US`."""
    return text[:1].upper() + text[1:]


def outcome_text(outcome: str) -> str:
    """Write `failed:too_late` as `failed (too late)`."""
    state, _, reason = outcome.replace("_", " ").partition(":")
    return f"{state} ({reason})" if reason else state


def percent(part: float, whole: float) -> str:
    """Return a share as a text: `42 %`. Only nothing is shown as 0, and only all as 100.

    >>> percent(1, 3), percent(1, 1000), percent(999, 1000), percent(0, 0)
    ('33 %', '<1 %', '>99 %', '–')
    """
    if not whole:
        return "–"
    share = part / whole * 100
    if 0 < share < 1:
        return "<1 %"
    return ">99 %" if 99 < share < 100 else f"{share:.0f} %"


def as_event(name: str, content: Mapping[str, str] | None = None) -> str:
    """Return a server-sent event whose data is JSON."""
    return f"event: {name}\ndata: {json.dumps(content or {})}\n\n"
