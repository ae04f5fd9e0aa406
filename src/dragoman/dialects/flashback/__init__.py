"""Flashback's user-account API: sign-in with refresh tokens for its TypeScript client."""

from __future__ import annotations

from dragoman.dialects.flashback import (
    devices,
    mailed,
    mfa,
    organization,
    people,
    providers,
    quota,
    registering,
    routes,
    sessions,
    settings,
)
from dragoman.dialects.flashback.errors import dress, refuse
from dragoman.dialects.flashback.routes import DOOR, Config, Plan, authenticate
from dragoman.dialects.flashback.wire import Failure
from dragoman.dialects.flashback.wire_organization import ChangeFailure, ListFailure
from dragoman.http import BodyRules, Cors, Dialect, single_leading_slash

__all__ = ["DIALECT", "DOOR", "Config", "Plan", "dialect"]

PARTS = (
    routes,
    mailed,
    mfa,
    people,
    organization,
    settings,
    sessions,
    devices,
    providers,
    registering,
    quota,
)
"""Where the operations are, in the order of the document."""

EXAMPLE = (
    "curl -s {base}/user/login -H 'Content-Type: application/json'"
    """ -d '{"email":"ada@example.com","password":"correct horse battery"}'"""
)


def dialect(config: Config = Config()) -> Dialect:  # noqa: B008
    """Return the dialect as an operator wants it."""
    return Dialect(
        name=DOOR.name,
        title="Flashback user accounts",
        prefixes=(
            "/user",
            "/auth",
            "/mfa",
            "/token",
            "/sessions",
            "/devices",
            "/organization",
            "/settings",
            "/links",
        ),
        door=DOOR,
        operations=tuple(one for part in PARTS for one in part.OPERATIONS),
        refuse=refuse,
        fault=dress,
        authenticate=authenticate,
        body=BodyRules(empty_is_object=True),
        cors=Cors(credentials=True),
        tidy_path=single_leading_slash,
        error_class=Failure | ListFailure | ChangeFailure,
        security={"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        security_needs=(("bearer",),),
        example=EXAMPLE,
        config=config,
    )


DIALECT = dialect()
