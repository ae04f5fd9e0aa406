"""Rocket.Chat's dialect: the wire that its published clients speak. The contract in short is README.md beside this."""

from __future__ import annotations

from dragoman.core.doors import DAY, Door
from dragoman.core.tokens import Opaque
from dragoman.dialects.rocketchat import ddp, errors, wire
from dragoman.dialects.rocketchat.config import Config
from dragoman.dialects.rocketchat.ddp.connection import IDS
from dragoman.dialects.rocketchat.memory import Memory
from dragoman.dialects.rocketchat.proof import prove
from dragoman.dialects.rocketchat.rates import RATES
from dragoman.dialects.rocketchat.routes import OPERATIONS, authenticate
from dragoman.http import Answer, BodyRules, Cors, Dialect, no_trailing_slash

TOKEN_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"  # noqa: S105  no secret
"""Of the 43 characters of a token (contract section 2.1)."""


def door(config: Config) -> Door:
    """Return what this dialect asks of the gate (table A)."""
    return Door(
        name="rocketchat",
        token=Opaque(use="rocketchat", alphabet=TOKEN_ALPHABET, length=43),
        factors=("totp", "email", "recovery"),
        asks_factors=not config.test,
        attempt="repeat",
        absolute=90 * DAY,
        digest=config.digest,
        admits_all=False,
        repeats_step=True,
    )


def dialect(config: Config) -> Dialect:
    """Return the dialect as configured."""
    return Dialect(
        name="rocketchat",
        title="Rocket.Chat",
        prefixes=("/api/v1", "/api/info", "/api/apps", "/websocket", "/sockjs", "/avatar"),
        config=config,
        door=door(config),
        operations=OPERATIONS,
        refuse=errors.refuse,
        fault=errors.fault,
        authenticate=authenticate,
        prove=prove,
        body=BodyRules(json=True, form=True, lenient=True),
        headers=(
            ("cache-control", "no-store"),
            ("pragma", "no-cache"),
            *((("x-instance-id", config.instance),) if config.instance else ()),
        ),
        cors=Cors(
            allow_headers=("Content-Type", "X-Auth-Token", "X-User-Id", "X-2fa-Code", "X-2fa-Method"),
            expose_headers=("X-Request-Id", "Retry-After", *RATES.names),
        ),
        options=Answer(200, b"OK", (("content-type", "text/plain"),)),
        tidy_path=no_trailing_slash,
        head_as_get=True,
        socket=ddp.SOCKET,
        memory=Memory(),
        rates=RATES,
        error_class=wire.Failure,
        security={
            "authToken": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
            "userId": {"type": "apiKey", "in": "header", "name": "X-User-Id"},
        },
        security_needs=(("authToken", "userId"),),
        example="curl -s {base}/api/v1/login -d user=ada --data-urlencode 'password=correct horse battery'",
    )


DIALECT = dialect(Config())

__all__ = ["DIALECT", "IDS", "Config", "dialect"]
