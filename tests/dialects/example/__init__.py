"""Parley: a dialect of two operations, made by following docs/how-to/add-a-dialect.md."""

from __future__ import annotations

from dialects.example import errors, routes, wire
from dragoman.http import BodyRules, Dialect

DIALECT = Dialect(
    name="parley",
    title="Parley",
    prefixes=("/parley",),
    door=routes.DOOR,
    operations=routes.OPERATIONS,
    refuse=errors.refuse,
    fault=errors.fault,
    authenticate=routes.authenticate,
    body=BodyRules(json=True),
    error_class=wire.No,
    security={"pass": {"type": "apiKey", "in": "header", "name": "X-Parley-Pass"}},
    security_needs=(("pass",),),
    example=(
        "curl -s {base}/parley/sign-in -H 'Content-Type: application/json'"
        """ -d '{"name":"ada","secret":"correct horse battery"}'"""
    ),
)
