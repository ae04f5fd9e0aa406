"""Probe's `frontend/api/v1`. Its contract is README.md beside this file."""

from __future__ import annotations

from dragoman.dialects.probe import api_tokens, minting, providers, registering, restoring, routes, users
from dragoman.dialects.probe.carriers import JWT_COOKIE, authenticate
from dragoman.dialects.probe.door import BASE, DOOR, MARK_COOKIE, MEDIA, Config
from dragoman.dialects.probe.errors import Error, fault, refuse
from dragoman.dialects.probe.rates import of_tokens
from dragoman.http import BodyRules, Cors, Dialect

ALLOWED_HEADERS = ("Authorization", "Content-Type", "X-2FA-Code", "X-Recaptcha-Token")
__all__ = ["DIALECT", "Config", "dialect"]

_EXAMPLE = (
    "curl -sS {base}/frontend/api/v1/auth/sign-in -H 'Content-Type: application/json'"
    """ -d '{"email": "ada@example.com", "password": "correct horse battery"}'"""
)


def dialect(config: Config | None = None) -> Dialect:
    """Return the dialect with an operator's settings; without any, with the defaults."""
    config = config or Config()
    return Dialect(
        name="probe",
        title="Probe",
        prefixes=(BASE, MEDIA),
        door=DOOR,
        operations=(
            *routes.OPERATIONS,
            *providers.OPERATIONS,
            *registering.OPERATIONS,
            *restoring.OPERATIONS,
            *users.OPERATIONS,
            *api_tokens.OPERATIONS,
            *minting.OPERATIONS,
        ),
        refuse=refuse,
        fault=fault,
        authenticate=authenticate,
        body=BodyRules(json=True, form=True),
        cors=Cors(credentials=True, allow_headers=ALLOWED_HEADERS),
        mark_cookie=MARK_COOKIE,
        error_class=Error,
        security={
            "api_key_header": {"type": "http", "scheme": "bearer"},
            "api_key": {"type": "apiKey", "in": "query", "name": "token"},
            "jwt-token": {"type": "apiKey", "in": "query", "name": "jwt"},
            "jwt-cookie": {"type": "apiKey", "in": "cookie", "name": JWT_COOKIE},
            "jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        },
        security_needs=(("api_key_header",), ("api_key",), ("jwt-token",), ("jwt-cookie",), ("jwt",)),
        example=_EXAMPLE,
        config=config,
        rates=of_tokens(config.token_calls),
    )


DIALECT = dialect()
