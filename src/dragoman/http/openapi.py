"""The OpenAPI 3.1 document of a dialect, made from its declarations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any, get_args

import msgspec

from dragoman import __version__
from dragoman.http import multipart
from dragoman.http.call import Answer, Call
from dragoman.http.dialect import Dialect
from dragoman.http.faults import NoSuchPath
from dragoman.http.operation import Bytes, Operation, operation
from dragoman.http.rates import rate_of

_REF = "#/components/schemas/{name}"
_FORM = "application/x-www-form-urlencoded"

Schema = dict[str, Any]


def document(dialect: Dialect, *, prefix: str = "") -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a dialect as plain values.

    Answers have closed schemas. Requests stay open, since unknown fields are ignored (decision 38).

    :param prefix: what the mount puts before every path.
    """
    shown = [each for each in dialect.operations if not each.hidden]
    said = [*(kind for each in shown for kind in each.answers.values()), dialect.error_class]
    answers = _distinct(one for kind in said for one in _alternatives(kind))
    requests = _distinct(each.body for each in shown if not getattr(each.body, "multipart", False))
    book = _Book([*answers, *requests, *_distinct(each.query for each in shown)])
    book.close(answers, requests)
    paths: dict[str, Schema] = {}
    for each in shown:
        paths.setdefault(prefix + each.path, {})[each.method.lower()] = _operation(each, dialect, book)
    kept = book.reachable([book.schema(kind) for kind in (*answers, *requests)])
    return {
        "openapi": "3.1.0",
        "info": {"title": dialect.title, "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {name: book.components[name] for name in sorted(kept)},
            "securitySchemes": {name: dict(scheme) for name, scheme in dialect.security.items()},
        },
    }


def document_operation(
    dialects: Iterable[Dialect],
    path: str = "/docs/{dialect}/openapi.json",
    *,
    prefixes: Mapping[str, str] | None = None,
) -> Operation:
    """Return the operation that gives each dialect's document, for the dialect that owns `path`.

    Documents are made at the first asking and kept.

    :param prefixes: what a dialect's mount puts before its paths, by the dialect's name.
    """
    by_name = {dialect.name: dialect for dialect in dialects}
    made: dict[str, bytes] = {}

    @operation("GET", path, access="open", hidden=True)
    async def openapi(call: Call) -> Answer:
        """Give the OpenAPI document of a dialect."""
        name = call.path["dialect"]
        if name not in by_name:
            raise NoSuchPath
        if name not in made:
            prefix = (prefixes or {}).get(name, "")
            made[name] = msgspec.json.encode(document(by_name[name], prefix=prefix))
        return Answer(200, made[name], (("content-type", "application/json"),))

    return openapi


class _Book:
    """The schemas of all classes of a document, and the named components they point to."""

    def __init__(self, kinds: list[Any]) -> None:
        schemas, self.components = msgspec.json.schema_components(kinds, ref_template=_REF)
        self._schemas = list(zip(kinds, schemas, strict=True))

    def schema(self, kind: Any) -> Schema:
        """Return the schema of a class."""
        return next(schema for known, schema in self._schemas if known is kind)

    def answer(self, kind: Any) -> Schema:
        """Return the schema of an answer: of one class, or of any class of a union."""
        schemas = [self.schema(one) for one in _alternatives(kind)]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def resolved(self, kind: Any) -> Schema:
        """Return the schema of a Struct class itself, not the reference to it."""
        schema = self.schema(kind)
        return self.components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

    def is_object(self, schema: Schema) -> bool:
        """Tell whether a field is an object, by itself or by what it refers to."""
        shown = self.components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        return shown.get("type") == "object"

    def reachable(self, schemas: Iterable[Any]) -> set[str]:
        """Return the names of all components that these schemas lead to."""
        found: set[str] = set()
        queue = list(schemas)
        while queue:
            value = queue.pop()
            if isinstance(value, dict):
                name = value["$ref"].rpartition("/")[2] if isinstance(value.get("$ref"), str) else None
                if name is not None and name not in found:
                    found.add(name)
                    queue.append(self.components[name])
                queue.extend(value.values())
            elif isinstance(value, list | tuple):
                queue.extend(value)
        return found

    def close(self, kinds: Iterable[Any], requests: Iterable[Any]) -> None:
        """Say of every object that these classes lead to that it has no other fields, unless it declares some.

        Where none of `requests` leads to it, too, say that a field with a default is always there: answers are written
        whole, but for fields that are unset.
        """
        taken = self.reachable([self.schema(kind) for kind in requests])
        for name in self.reachable([self.schema(kind) for kind in kinds]):
            component = self.components[name]
            if component.get("type") != "object" or "properties" not in component:
                continue
            component.setdefault("additionalProperties", False)
            if name not in taken:
                needed = component.get("required", ())
                always = [key for key, field in component["properties"].items() if key in needed or "default" in field]
                component["required"] = always


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """Return the classes of a union, which need no tags since answers are only written; else the class itself."""
    if isinstance(kind, Bytes):
        return ()
    return get_args(kind) if isinstance(kind, UnionType) else (kind,)


def _distinct(kinds: Iterable[Any]) -> list[Any]:
    """Return the classes once each, in order."""
    found: list[Any] = []
    for kind in kinds:
        if kind is not None and not any(kind is known for known in found):
            found.append(kind)
    return found


def _operation(each: Operation, dialect: Dialect, book: _Book) -> Schema:
    """Return one operation object."""
    shown: Schema = {
        "operationId": _identity(each, dialect),
        "summary": each.summary,
        "parameters": _parameters(each, book),
        "responses": _responses(each, dialect, book),
        "security": _security(each, dialect),
    }
    if each.description:
        shown["description"] = each.description
    if each.tag:
        shown["tags"] = [each.tag]
    if each.body is not None:
        shown["requestBody"] = _request_body(each, dialect, book)
    return shown


def _identity(each: Operation, dialect: Dialect) -> str:
    """Return the handler's name, numbered where one handler serves several paths or methods."""
    alike = [other for other in dialect.operations if other.name == each.name and not other.hidden]
    number = alike.index(each) + 1
    return each.name if number == 1 else f"{each.name}_{number}"


def _parameters(each: Operation, book: _Book) -> list[Schema]:
    shown = [_parameter(name, "path", {"type": "string", "minLength": 1}, required=True) for name in each.names]
    if each.query is not None:
        schema = book.resolved(each.query)
        needed = schema.get("required", ())
        for name, field in schema.get("properties", {}).items():
            shown.append(_parameter(name, "query", field, required=name in needed, deep=book.is_object(field)))
    shown += [_parameter(name, "header", {"type": "string"}) for name in each.headers]
    return shown + [_parameter(name, "cookie", {"type": "string"}) for name in each.cookies]


def _parameter(name: str, place: str, schema: Schema, *, required: bool = False, deep: bool = False) -> Schema:
    shown: Schema = {"name": name, "in": place, "required": required, "schema": schema}
    if deep:
        shown |= {"style": "deepObject", "explode": True}
    return shown


def _request_body(each: Operation, dialect: Dialect, book: _Book) -> Schema:
    if getattr(each.body, "multipart", False):
        return _multipart_body(each)
    media: Schema = {"schema": book.schema(each.body)}
    if each.examples:
        media["examples"] = {name: {"value": value} for name, value in each.examples.items()}
    types = [kind for kind, read in (("application/json", dialect.body.json), (_FORM, dialect.body.form)) if read]
    optional = dialect.body.lenient or dialect.body.empty_is_object or getattr(each.body, "may_be_absent", False)
    needs = bool(book.resolved(each.body).get("required"))
    return {"required": needs or not optional, "content": dict.fromkeys(types, media)}


def _multipart_body(each: Operation) -> Schema:
    """Return the body of an operation that takes files: a form whose files are named, the other fields as they are."""
    properties = {
        field.encode_name: {"type": "string", "format": "binary"} if _is_file(field.type) else {"type": "string"}
        for field in msgspec.structs.fields(each.body)
    }
    return {"required": False, "content": {multipart.MEDIA: {"schema": {"type": "object", "properties": properties}}}}


def _is_file(kind: Any) -> bool:
    return kind is multipart.File or multipart.File in get_args(kind)


def _responses(each: Operation, dialect: Dialect, book: _Book) -> Schema:
    media = dialect.content_type.partition(";")[0]
    shown: Schema = {}
    for status, kind in each.answers.items():
        shown[str(status)] = {"description": _phrase(status)}
        if isinstance(kind, Bytes):
            binary = {"schema": {"type": "string", "format": "binary"}}
            shown[str(status)]["content"] = dict.fromkeys(kind.media, binary)
        elif kind is not None:
            shown[str(status)]["content"] = {media: {"schema": book.answer(kind)}}
    shown["default"] = {"description": "Error"}
    rate = rate_of(each, dialect)
    if rate is not None and dialect.rates is not None:
        names = (*dialect.rates.names, *(("Retry-After",) if dialect.rates.retry_after else ()))
        text = f"Called more than {_times(rate.calls)} in {rate.seconds:g} s, unless configured otherwise"
        shown["429"] = {"description": text, "headers": {name: {"schema": {"type": "integer"}} for name in names}}
    if dialect.error_class is not None:
        media = (dialect.error_content_type or dialect.content_type).partition(";")[0]
        for error in ("default", "429"):
            if error in shown:
                shown[error]["content"] = {media: {"schema": book.answer(dialect.error_class)}}
    return shown


def _times(calls: int) -> str:
    return "once" if calls == 1 else f"{calls} times"


def _phrase(status: int) -> str:
    return {200: "Success", 201: "Created", 204: "Success without a body"}.get(status, "Answer")


def _security(each: Operation, dialect: Dialect) -> list[Schema]:
    if each.access == "open":
        return []
    needs: list[Schema] = [{name: [] for name in together} for together in dialect.security_needs]
    return [*needs, {}] if each.access == "optional" else needs
