"""The page at `/docs`: the OpenAPI document as a person reads it. It is plain HTML, and loads nothing from anywhere."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from ringproof import errors
from ringproof.errors import GUIDE
from ringproof.http_answer import STATUSES
from worker.web.api.problems import title_of

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { border-top: 1px solid #ddd; padding-top: 1.5rem; font-size: 1.15rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
table { border-collapse: collapse; margin: .5rem 0; }
td, th { border: 1px solid #ddd; padding: .25rem .6rem; text-align: left; vertical-align: top; }
"""


def page(document: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI document: its operations, what they take and answer, and the problems."""
    info = document["info"]
    body = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{_prose(info['description'])}</p>",
        '<p>For programs: <a href="openapi.json">openapi.json</a></p>',
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body += _operation(document, method.upper(), path, operation)
    body += _problems()
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>{''.join(body)}</html>"
    )


def _operation(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    scopes = sorted({scope for each in operation.get("security", ()) for of in each.values() for scope in of})
    needs = f"<p>Scope: {' or '.join(f'<code>{scope}</code>' for scope in scopes)}</p>" if scopes else ""
    yield f'<h2 id="{operation["operationId"]}"><code>{method} {escape(path)}</code></h2>'
    yield f"<p>{_prose(operation['description'])}</p>{needs}"
    if parameters := operation.get("parameters"):
        yield _table(
            "Parameters",
            [
                (one["name"], f"{one['in']}{', required' if one.get('required') else ''}", _type(one["schema"]), one)
                for one in parameters
            ],
        )
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(document, content["schema"])
        yield f"<p>Body: <code>{escape(kind)}</code></p>"
        yield from _fields(schema)
    refusals = []
    for status, answer in sorted(operation["responses"].items()):
        if not status.startswith("2"):
            refusals.append(f"{status} {answer['description']}")
            continue
        kinds = answer.get("content", {})
        yield f"<p><strong>{escape(status)}</strong> {_prose(answer['description'])} {_codes(kinds)}</p>"
        for content in kinds.values():
            yield from _fields(_resolved(document, content.get("schema", {})))
    yield f'<p><a href="#problems">Problems</a>: {escape(", ".join(refusals))}</p>'


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    required = schema.get("required", ())
    if properties := schema.get("properties"):
        rows = [
            (name, "required" if name in required else "", _type(field), field) for name, field in properties.items()
        ]
        yield _table(schema.get("title", ""), rows)


def _table(title: str, rows: list[tuple[str, str, str, Mapping[str, Any]]]) -> str:
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(kind)}<td>{escape(type_)}<td>{_prose(_about(one))}"
        for name, kind, type_, one in rows
    )
    return f"<table><tr><th colspan=4>{escape(title)}</th></tr>{cells}</table>"


def _about(field: Mapping[str, Any]) -> str:
    default = field.get("schema", field).get("default")
    shown = "" if default is None or default == [] else f" Default: `{json.dumps(default)}`."
    return f"{field.get('description', '')}{shown}".strip()


def _problems() -> Iterator[str]:
    yield '<h2 id="problems">Problems</h2><p>The <code>type</code> of a problem leads here.</p><table>'
    for kind in sorted(_below(errors.RingproofError), key=lambda kind: kind.__name__):
        status = next((STATUSES[one] for one in kind.__mro__ if one in STATUSES), None)
        if status or issubclass(kind, errors.Failed | errors.InDoubt):
            name = kind.__name__.lower()
            shown = str(status.value) if status else "in a verification"
            page_ = f"{GUIDE}#{name}"
            yield f'<tr id="{name}"><td>{shown}<td>{title_of(kind)}<td><code>{escape(page_)}</code>'
    yield "</table>"


def _below(kind: type[errors.RingproofError]) -> Iterator[type[errors.RingproofError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema, or what its reference leads to."""
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _type(schema: Mapping[str, Any]) -> str:
    """Return the type of a schema in words: `string or null`, or its values."""
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    return " ".join(filter(None, (schema.get("type"), schema.get("format"))))


def _codes(names: Mapping[str, Any]) -> str:
    return " ".join(f"<code>{escape(name)}</code>" for name in names)


def _prose(text: str) -> str:
    """Return text with its `code` marked."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
