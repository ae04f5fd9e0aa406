"""A dialect in rows for a page, read off its OpenAPI document: what tools are told is what people are told."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from dragoman.http.dialect import Dialect, Mount
from dragoman.http.openapi import document
from dragoman.http.operation import Operation

Schema = Mapping[str, Any]
_DEEPEST = 6


class Field(Struct, frozen=True):
    """One field of a request or an answer."""

    name: str
    """With the objects it lies in, `data.user.id`; of a list's items `sessions[].id`."""
    type: str
    needed: bool
    note: str


class Shape(Struct, frozen=True):
    """One form that a body may have."""

    title: str
    description: str
    fields: tuple[Field, ...]


class Reply(Struct, frozen=True):
    """One answer; several shapes where one status has several."""

    status: str
    shapes: tuple[Shape, ...]


class Example(Struct, frozen=True):
    """An example request as a curl command; `{base}` stands for the address."""

    name: str
    command: str


class Endpoint(Struct, frozen=True):
    """One operation."""

    anchor: str
    method: str
    path: str
    summary: str
    paragraphs: tuple[str, ...]
    access: str
    parameters: tuple[tuple[str, Field], ...]
    """Place (path, query, header, cookie) and field."""
    body: Shape | None
    media: str
    replies: tuple[Reply, ...]
    examples: tuple[Example, ...]


class Group(Struct, frozen=True):
    """Operations of one tag."""

    title: str
    endpoints: tuple[Endpoint, ...]


class Described(Struct, frozen=True):
    """A whole dialect."""

    groups: tuple[Group, ...]
    errors: tuple[Shape, ...]
    carriers: tuple[str, ...]
    """Where a token goes, one alternative each."""


def described(mount: Mount) -> Described:
    """Return what a page shows of a dialect where it is mounted."""
    dialect = mount.dialect
    whole = document(dialect, prefix=mount.prefix)
    reader = _Reader(whole["components"]["schemas"])
    groups: dict[str, list[Endpoint]] = {}
    for each in dialect.operations:
        if not each.hidden:
            shown = whole["paths"][mount.prefix + each.path][each.method.lower()]
            groups.setdefault(each.tag, []).append(_endpoint(each, shown, dialect, reader))
    errors: tuple[Shape, ...] = ()
    for path in whole["paths"].values():
        for shown in path.values():
            errors = errors or reader.shapes(_schema_of(shown["responses"]["default"]))
    needs = (" and ".join(_carrier(dialect.security[name]) for name in together) for together in dialect.security_needs)
    carriers = tuple(dict.fromkeys(need[:1].upper() + need[1:] for need in needs))
    listed = tuple(
        Group(title[:1].upper() + title[1:] or "Operations", tuple(found)) for title, found in groups.items()
    )
    return Described(listed, errors, carriers)


_ACCESS = {
    "open": "Asks for no token and ignores any.",
    "optional": "Works with and without a token.",
    "client": "Needs the token of a signed-in client.",
    "any": "Needs the token of a signed-in client, or a key.",
}

_FRESH = {
    False: "",
    True: " A credential must have been proved in the last ten minutes.",
    "always": " A second factor or the password must be proved in the call.",
}


def _endpoint(each: Operation, shown: Schema, dialect: Dialect, reader: _Reader) -> Endpoint:
    access = _ACCESS[each.access]
    access += " A limited token passes, too." if each.accepts_limited else ""
    access += _FRESH[each.fresh]
    access += " The account must have been verified once." if each.verified else ""
    request = shown.get("requestBody", {}).get("content", {})
    body = reader.shapes(next(iter(request.values()))["schema"])[0] if request else None
    replies = tuple(
        Reply(status, reader.shapes(_schema_of(answer)))
        for status, answer in shown["responses"].items()
        if status != "default"
    )
    return Endpoint(
        anchor=str(shown["operationId"]),
        method=each.method,
        path=each.path,
        summary=each.summary,
        paragraphs=tuple(" ".join(part.split()) for part in each.description.split("\n\n") if part.strip()),
        access=access,
        parameters=tuple(reader.parameter(parameter) for parameter in shown["parameters"]),
        body=body,
        media=" or ".join(request),
        replies=replies,
        examples=tuple(_examples(each, dialect)),
    )


def _examples(each: Operation, dialect: Dialect) -> Iterator[Example]:
    for name, value in each.examples.items():
        command = f"curl -s {{base}}{each.path}"
        if each.method != "POST":
            command += f" -X {each.method}"
        sent = shlex.quote(msgspec.json.encode(value).decode())
        yield Example(name, f"{command} \\\n  -H 'Content-Type: application/json' \\\n  -d {sent}")


def _schema_of(answer: Schema) -> Schema | None:
    content: Mapping[str, Schema] = answer.get("content", {})
    return next((media["schema"] for media in content.values()), None)


def _carrier(scheme: Schema) -> str:
    if scheme.get("type") == "http":
        return f"header `Authorization: {str(scheme['scheme']).capitalize()} …`"
    place = {"header": "header", "query": "query parameter", "cookie": "cookie"}[scheme["in"]]
    return f"{place} `{scheme['name']}`"


class _Reader:
    """Turns JSON schemas into rows."""

    def __init__(self, components: Mapping[str, Schema]) -> None:
        self._components = components

    def shapes(self, schema: Schema | None) -> tuple[Shape, ...]:
        """Return every form that a schema allows."""
        if schema is None:
            return ()
        forms = schema.get("anyOf", [schema])
        return tuple(self._shape(form) for form in forms)

    def parameter(self, shown: Schema) -> tuple[str, Field]:
        """Return a parameter's place and row."""
        schema = shown["schema"]
        return shown["in"], Field(shown["name"], self._type(schema), shown["required"], self._note(schema))

    def _shape(self, schema: Schema) -> Shape:
        found = self._followed(schema)
        return Shape(found.get("title", ""), found.get("description", ""), tuple(self._fields(found, "", ())))

    def _fields(self, schema: Schema, before: str, seen: tuple[int, ...]) -> Iterator[Field]:
        needed = schema.get("required", ())
        for name, field in schema.get("properties", {}).items():
            yield Field(before + name, self._type(field), name in needed, self._note(field))
            for inner, suffix in self._behind(field):
                if inner.get("properties") and id(inner) not in seen and len(seen) < _DEEPEST:
                    yield from self._fields(inner, f"{before}{name}{suffix}.", (*seen, id(inner)))

    def _followed(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._components[schema["$ref"].rpartition("/")[2]]
        return schema

    def _behind(self, schema: Schema, suffix: str = "") -> list[tuple[Schema, str]]:
        """Return the schemas behind references, alternatives and lists, nulls left out, each with `[]` per list and
        `.*` per map.
        """
        schema = self._followed(schema)
        if "anyOf" in schema:
            real = [one for one in schema["anyOf"] if one.get("type") != "null"]
            return [found for one in real for found in self._behind(one, suffix)]
        if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
            return self._behind(schema["items"], suffix + "[]")
        named = schema.get("additionalProperties")
        if not schema.get("properties") and isinstance(named, Mapping) and named:
            return self._behind(named, suffix + ".*")
        return [(schema, suffix)]

    def _note(self, schema: Schema) -> str:
        return "; or ".join(note for note in (_note(found) for found, _ in self._behind(schema)) if note)

    def _type(self, schema: Schema) -> str:
        schema = self._followed(schema)
        if "anyOf" in schema:
            return " or ".join(dict.fromkeys(self._type(one) for one in schema["anyOf"]))
        if "enum" in schema:
            return " | ".join(msgspec.json.encode(value).decode() for value in schema["enum"])
        kind = schema.get("type", "any value")
        if kind == "array":
            items = schema.get("items")
            return f"list of {self._type(items)}" if isinstance(items, Mapping) else "list"
        if kind == "string" and "format" in schema:
            return f"string ({schema['format']})"
        return " or ".join(kind) if isinstance(kind, list) else str(kind)


_BOUNDS = (
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
)


def _note(schema: Schema) -> str:
    """Return description, bounds and default of a field as one line."""
    notes = [str(schema["description"])] if schema.get("description") else []
    bounds = ", ".join(text.format(schema[key]) for key, text in _BOUNDS if key in schema and schema[key] != 1)
    if bounds:
        notes.append(bounds)
    if schema.get("default") not in (None, "", [], {}):
        notes.append(f"default {msgspec.json.encode(schema['default']).decode()}")
    return "; ".join(notes)
