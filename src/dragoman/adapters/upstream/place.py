"""Where a provider is and who we are there: what the settings say, without the libraries."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct

from dragoman.model import Secret

LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))


class Place(Struct, frozen=True):
    """A provider of OpenID Connect, or one that speaks GitHub's OAuth."""

    issuer: str
    """Of OpenID Connect, as its discovery document names it; of GitHub the address of its pages."""
    client_id: str
    client_secret: Secret = Secret("")
    """Empty for a public client, which PKCE alone protects."""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    hosts: tuple[str, ...] = ()
    """Hosts beside the issuer's own that its discovery document may name."""
    tokeninfo: str = ""
    """Where the audience of an access token is told (Google's `tokeninfo`); empty: access tokens count nothing."""
    api: str = ""
    """Of GitHub: the address of its API."""
    timeout: float = 5.0
    """Seconds for one call, all its requests together."""
    connections: int = 8
    """Requests at a time; four times as many calls may wait."""

    def allows(self, url: str) -> bool:
        """Tell whether a request may go there: a configured host, and encrypted unless on loopback (threat 47)."""
        parts = urlsplit(url)
        try:
            known = (parts.hostname or "", parts.port) in self._origins()
        except ValueError:
            return False
        encrypted = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        return known and encrypted and "@" not in parts.netloc

    def _origins(self) -> set[tuple[str, int | None]]:
        urls = [url for url in (self.issuer, self.tokeninfo, self.api) if url]
        urls += [f"https://{host}" for host in self.hosts]
        return {(parts.hostname or "", parts.port) for parts in map(urlsplit, urls)}
