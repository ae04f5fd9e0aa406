"""GitHub's OAuth on loopback, in a process of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2
from joserfc import jws
from joserfc.jwk import ECKey

from kit.directory import free_port
from kit.oidc import CLIENT, OTHER_APP, REDIRECT, SECRET

PROGRAM = Path(__file__).parent / "github_peer" / "server.py"


@dataclass
class GithubPeer:
    """The pages at its root, the API below /api."""

    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "ec-1", "use": "sig"}))

    @property
    def issuer(self) -> str:
        """The address of its pages."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the settings of a house that knows it."""
        given = {
            "issuer": self.issuer, "api_url": f"{self.issuer}/api", "client_id": CLIENT, "client_secret": SECRET,
            "trust": "verified", "first_sign_in": "create", "timeout_seconds": 2.0, **more,
        }  # fmt: skip
        return {f"providers__github__{name}": value for name, value in given.items()}

    def oidc_settings(self, section: str) -> dict[str, Any]:
        """Return the settings of a house that knows the provider of OpenID Connect beside it, under this section."""
        given = {
            "issuer": f"{self.issuer}/oidc", "client_id": CLIENT, "client_secret": SECRET, "hosts": [],
            "tokeninfo_url": "", "redirect_uris": [REDIRECT],
        }  # fmt: skip
        return {f"providers__{section}__{name}": value for name, value in given.items()}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = subprocess.Popen([sys.executable, PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        keys = {"keys": [self.key.as_dict(private=False)]}
        given = {"port": self.port, "clients": {CLIENT: SECRET, OTHER_APP: SECRET}, "jwks": keys}
        self.process.stdin.write(json.dumps(given).encode() + b"\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == b"ready"

    def stop(self) -> None:
        """End it: connections are refused from then on."""
        if self.process is not None:
            self.thaw()
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Let it stand still: connections are taken by the system, and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def people(self, **people: dict[str, Any]) -> None:
        """Say who is there: login name to `id`, `name`, `emails`."""
        self._control("people", people)

    def person(self, login: str, **said: Any) -> None:
        """Say that somebody is there, too."""
        self._control("person", {login: said})

    def trouble(self, **by_path: dict[str, Any]) -> None:
        """Let it get answers wrong: `user=...` for `/api/user`."""
        self._control("trouble", {f"/api/{path}" if path != "exchange" else "/login/oauth/access_token": how
                                  for path, how in by_path.items()})  # fmt: skip

    def counted(self) -> dict[str, int]:
        """Return how often each of its paths was asked for."""
        return self._control("count", {})

    def id_token(self, subject: str, now: int, **claims: Any) -> str:
        """Sign an ID token of the provider of OpenID Connect. `now` is in seconds."""
        said = {"iss": f"{self.issuer}/oidc", "aud": CLIENT, "sub": subject, "iat": now, "exp": now + 300, **claims}
        return jws.serialize_compact({"alg": "ES256", "kid": "ec-1"}, json.dumps(said).encode(), self.key)

    def code(
        self, login: str, *, client: str = CLIENT, scope: str = "read:user user:email", verifier: str = "",
        id_token: str | None = None,
    ) -> str:  # fmt: skip
        """Return the authorization code that an app gets once somebody signed in there.

        :param id_token: what it brings at the provider of OpenID Connect.
        """
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        body = {"login": login, "client": client, "scope": scope, "challenge": challenge if verifier else ""}
        if id_token is not None:
            body["id_token"] = id_token
        return str(self._control("code", body)["code"])

    def token(self, login: str, *, client: str = CLIENT, scope: str = "read:user user:email") -> str:
        """Return an access token that was made for a client."""
        return str(self._control("token", {"login": login, "client": client, "scope": scope})["token"])

    def _control(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = httpx2.post(f"{self.issuer}/test/{what}", json=body, timeout=10)
        return dict(answer.json())


def ada(**more: Any) -> dict[str, Any]:
    """Return Ada Example as GitHub knows her."""
    return {
        "id": 4711, "name": "Ada Example", "avatar_url": "https://avatars.example.com/4711",
        "emails": [{"email": "other@example.com", "primary": False, "verified": True},
                   {"email": "ada@example.com", "primary": True, "verified": True}],
        **more,
    }  # fmt: skip
