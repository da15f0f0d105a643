"""The API's document as a page: plain HTML that needs no script and nothing from elsewhere.

Headings, landmarks and tables tell its structure to screen readers; colours follow the reader's choice of light or dark.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_STYLE = """
:root { color-scheme: light dark; --soft: color-mix(in srgb, currentColor 12%, transparent); }
body { background: light-dark(#fff, #16181d); color: light-dark(#1b1d22, #e6e8ec); }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem; }
h1, h2, h3 { line-height: 1.2; }
h2 { border-bottom: 1px solid var(--soft); margin-top: 2.5rem; }
h3 code { overflow-wrap: anywhere; }
code { font: 0.92em/1.4 ui-monospace, monospace; }
.method { background: var(--soft); border-radius: 0.25rem; padding: 0.1rem 0.4rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
caption { font-weight: 600; padding: 0.5rem 0 0.25rem; text-align: left; }
th, td { border-top: 1px solid var(--soft); padding: 0.3rem 0.75rem 0.3rem 0; text-align: left; vertical-align: top; }
nav ul { columns: 16rem; list-style: none; padding: 0; }
a { color: light-dark(#0b4fb3, #9cc2ff); }
:focus-visible { outline: 3px solid Highlight; outline-offset: 2px; }
.skip { left: -100vw; position: absolute; }
.skip:focus { left: 1rem; }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

#: Nothing is loaded and nothing runs; the one style is named by its hash.
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def page(document: Mapping[str, Any]) -> str:
    """The page of a document.

    Parameters:
        document: as `claude_mem.http.openapi.document.document` makes it.
    """
    info = document["info"]
    title = f"{escape(info['title'])} API {escape(info['version'])}"
    tags = [tag["name"] for tag in document["tags"]]
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{_STYLE}</style></head><body>",
            '<a class="skip" href="#content">Skip to the operations</a>',
            f"<header><h1>{title}</h1><p>{_marked(info['description'])}</p>",
            '<p><a href="openapi.json">OpenAPI document</a></p></header>',
            '<nav aria-label="Contents"><ul>',
            *(f'<li><a href="#{_slug(tag)}">{escape(tag)}</a></li>' for tag in tags),
            '<li><a href="#schemas">Schemas</a></li></ul></nav><main id="content">',
            *(part for tag in tags for part in _section(tag, document)),
            '<section aria-labelledby="schemas"><h2 id="schemas">Schemas</h2>',
            *(
                part
                for name, schema in document["components"]["schemas"].items()
                for part in _schema(name, schema)
            ),
            "</section></main></body></html>",
        ]
    )


def _section(tag: str, document: Mapping[str, Any]) -> Iterator[str]:
    yield f'<section aria-labelledby="{_slug(tag)}"><h2 id="{_slug(tag)}">{escape(tag)}</h2>'
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if tag in operation["tags"]:
                refusals = document["components"]["responses"]
                yield from _operation(method, path, operation, refusals=refusals)
    yield "</section>"


def _operation(
    method: str, path: str, operation: Mapping[str, Any], *, refusals: Mapping[str, Any]
) -> Iterator[str]:
    name = escape(operation["operationId"])
    yield f'<article aria-labelledby="{name}"><h3 id="{name}">'
    yield f'<span class="method">{method.upper()}</span> <code>{escape(path)}</code></h3>'
    yield f"<p>{escape(operation['summary'])}. {_marked(operation.get('description', ''))}</p>"
    parameters = operation["parameters"]
    if parameters:
        rows = (
            (
                f"<code>{escape(one['name'])}</code>",
                one["in"],
                _type(one["schema"]),
                _marked(one.get("description", "")),
            )
            for one in parameters
        )
        yield from _table("Parameters", ("Name", "In", "Value", "Meaning"), rows)
    body = operation.get("requestBody")
    if body is not None:
        ((media, content),) = body["content"].items()
        may = "" if body["required"] else ", may be left out"
        yield f"<p>Body: {_type(content['schema'])} as <code>{escape(media)}</code>{may}.</p>"
    whole = (
        (status, refusals[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer)
        for status, answer in operation["responses"].items()
    )
    answers = ((escape(status), _media(found), _marked(found["description"])) for status, found in whole)
    yield from _table("Answers", ("Status", "Body", "When"), answers)
    yield "</article>"


def _media(answer: Mapping[str, Any]) -> str:
    return "<br>".join(
        f"{_type(content['schema'])} as <code>{escape(media)}</code>"
        for media, content in answer.get("content", {}).items()
    )


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<article aria-labelledby="schema-{name}"><h3 id="schema-{name}"><code>{escape(name)}</code></h3>'
    yield f"<p>{_marked(schema.get('description', ''))}</p>"
    properties = schema.get("properties", {})
    if properties:
        needed = schema.get("required", ())
        rows = (
            (
                f"<code>{escape(member)}</code>",
                _type(inner),
                "yes" if member in needed else "no",
                _marked(inner.get("description", "")),
            )
            for member, inner in properties.items()
        )
        yield from _table("Members", ("Name", "Value", "Always", "Meaning"), rows)
    yield "</article>"


def _table(caption: str, heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    # A region that scrolls sideways has to be reachable by keyboard, and named.
    yield f'<div class="wide" role="group" aria-label="{caption}" tabindex="0">'
    yield f"<table><caption>{caption}</caption><thead><tr>"
    yield "".join(f'<th scope="col">{head}</th>' for head in heads)
    yield "</tr></thead><tbody>"
    for first, *others in rows:
        yield f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in others) + "</tr>"
    yield "</tbody></table></div>"


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = escape(str(schema["$ref"]).rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(
            f"<code>{escape(str(value).lower() if value is True else str(value))}</code>" for value in values
        )
    kind = schema.get("type", "any JSON")
    if kind == "array":
        return f"array of {_type(schema.get('items', {}))}"
    bounds = [
        f"{word} {schema[name]}"
        for name, word in (
            *(
                ("minimum", "from"),
                ("maximum", "to"),
                ("minLength", "length from"),
                ("maxLength", "length to"),
            ),
            *(("minItems", "entries from"), ("maxItems", "entries to"), ("default", "default")),
        )
        if name in schema and schema[name] not in (None, {}, [])
    ]
    return escape(", ".join([" or ".join(kind) if isinstance(kind, list) else str(kind), *bounds]))


def _marked(text: str) -> str:
    """Text with code in backquotes."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def _slug(tag: str) -> str:
    return tag.lower().replace(" ", "-")
