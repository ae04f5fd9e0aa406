"""Pocketm8: the API of a chat and task app, spoken over `/api`."""

from __future__ import annotations

from dragoman.dialects.pocketm8 import errors, routes, wire
from dragoman.http import BodyRules, Cors, Dialect

DIALECT = Dialect(
    name="pocketm8",
    title="Pocketm8",
    prefixes=("/api",),
    door=routes.DOOR,
    operations=routes.OPERATIONS,
    refuse=errors.refuse,
    fault=errors.fault,
    authenticate=routes.authenticate,
    body=BodyRules(json=True),
    cors=Cors(),
    error_class=wire.Error,
    security={"bearer": {"type": "http", "scheme": "bearer"}},
    security_needs=(("bearer",),),
    example=(
        "curl -s {base}/api/auth/user/sign-in -H 'Content-Type: application/json'"
        """ -d '{"email":"ada@example.com","password":"correct horse battery"}'"""
    ),
)
