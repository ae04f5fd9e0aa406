"""What an operator may set of this dialect."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from dragoman.model import Secret


class Config(Struct, frozen=True):
    """The settings of this dialect."""

    digest: Literal["always", "seen", "never"] = "always"
    """Whose passwords may come as SHA-256: everybody's, accounts' that did before, nobody's."""
    site_url: str = ""
    """The address that clients are told, without a path; empty: the one they called."""
    directory: bool = False
    """Whether a directory knows people: clients are told to use the form for it (contract section 9)."""
    method_errors: Literal[200, 400] = 200
    """The status of an error within `method.call` (contract section 16, no. 18)."""
    exempt_networks: tuple[str, ...] = ()
    """Networks that are never blocked, to be told to administrators."""
    test: bool = False
    """The test switch (contract section 16, no. 27)."""
    version: str = "8.8.0"
    """The version presented to clients; the mobile app judges by it (contract section 16, no. 1)."""
    instance: str = ""
    """What this process calls itself in `X-Instance-Id`; empty for nothing (contract section 1)."""
    create_tokens_secret: Secret | None = None
    """What `users.createToken` has to bring; None: nobody makes tokens for others (contract section 8.4)."""
