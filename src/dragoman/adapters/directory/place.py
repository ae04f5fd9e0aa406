"""Where a directory is and how people are found in it: what the settings say, without the library."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from dragoman.model import Secret

Scope = Literal["subtree", "one", "base"]


class Attributes(Struct, frozen=True):
    """Where an entry keeps what we ask for; an empty name asks for nothing."""

    id: str = "entryUUID"
    username: str = "uid"
    email: str = "mail"
    first_name: str = "givenName"
    last_name: str = "sn"
    display_name: str = "displayName"


class Place(Struct, frozen=True):
    """Where the directory is, and how people are found in it."""

    urls: tuple[str, ...]
    """`ldap://host:port` or `ldaps://host:port`, tried in this order."""
    base: str
    filter: str
    """With `{name}` for what was typed."""
    scope: Scope = "subtree"
    bind_name: str = ""
    """Empty: nobody signs in to search."""
    bind_password: Secret = Secret("")
    starttls: bool = False
    ca_file: str = ""
    """PEM file of authorities; empty: the system's."""
    group_base: str = ""
    group_filter: str = ""
    """With `{dn}` for the person's entry and `{name}` for the username; empty: no group is asked for."""
    attributes: Attributes = Attributes()
    timeout: float = 5.0
    """Seconds for one exchange, all steps and servers together."""
    connections: int = 4
