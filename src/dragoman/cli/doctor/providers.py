"""What `dragoman doctor` says of outside providers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dragoman.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from dragoman.core import Core
    from dragoman.sections import Provider
    from dragoman.settings import Settings

_ANYBODY = ("/common/", "/organizations/", "/consumers/")


def of_providers(settings: Settings, *, online: bool) -> list[Finding]:
    """Judge how far outside providers are trusted; `online` asks each, within its own time."""
    found = []
    for name in settings.providers.__struct_fields__:
        given: Provider = getattr(settings.providers, name)
        if given.client_id:
            found += _of_one(f"providers.{name}", given)
    return found + (asyncio.run(_of_reach()) if online else [])


def _of_one(name: str, given: Provider) -> list[Finding]:
    found = []
    if given.issuer.startswith("http://"):
        found.append(
            Finding("warning", f"{name}.issuer", "the provider is asked without encryption, on this machine",
                    "for anything but a trial name it by https://")
        )  # fmt: skip
    if given.trust == "all":
        found.append(
            Finding("warning", f"{name}.trust", "whatever address the provider names opens the account that has it",
                    'keep "all" for a provider where nobody chooses his own address; else "verified"')
        )  # fmt: skip
    if any(part in given.issuer for part in _ANYBODY) and given.trust != "never":
        found.append(
            Finding("error", f"{name}.issuer", "people of every tenant may come, and in a tenant of his own anybody"
                    " names any address",
                    'put your own tenant in the place of "common", or set trust = "never"')
        )  # fmt: skip
    if not given.client_secret:
        found.append(
            Finding("note", f"{name}.client_secret", "codes are exchanged without a secret: only PKCE protects them",
                    "set it in the environment, or see that every client uses PKCE")
        )  # fmt: skip
    return found


async def _of_reach() -> list[Finding]:
    from dragoman.cli.provider import reached

    return [
        Finding("error", f"providers.{name}", f"it cannot be used: {fault}", "`dragoman provider check` tries again")
        for name, fault in (await reached()).items()
        if fault
    ]


async def of_links(core: Core) -> list[Finding]:
    """Name providers that let nobody in any more: not configured, and accounts are linked to them."""
    return [
        Finding("warning", "providers", f"{number} accounts are linked to {name}, which is not configured: nobody comes"
                " in by it", "configure it again, or see that their owners have a password or a proved address")
        for name, number in (await core.upstream.counts()).items()
        if name not in core.upstream.names
    ]  # fmt: skip
