"""A real provider of OpenID Connect on loopback: npm's oidc-provider in a process of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx2
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey

from kit.directory import free_port
from kit.house import House

HERE = Path(__file__).parent / "oidc_peer"
PACKAGE = Path(__file__).parents[2] / ".components" / "oidc-peer"
START_SECONDS = 30
REDIRECT = "http://127.0.0.1/back"
CLIENT, OTHER_APP = "dragoman", "some-other-app"
SECRET = "a-secret-of-the-client"
KID, EC_KID = "rsa-1", "ec-1"


def installed() -> Path:
    """Return where the package is, installed by its lock file."""
    done = subprocess.run([HERE / "install.sh"], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return PACKAGE


@dataclass(frozen=True)
class Grant:
    """What a client's app holds once somebody signed in at the provider."""

    code: str
    verifier: str
    nonce: str
    state: str


@dataclass
class OidcPeer:
    """The provider; its addresses, its keys, and what it gets wrong."""

    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": KID, "use": "sig", "alg": "RS256"}))
    ec: ECKey = field(
        default_factory=lambda: ECKey.generate_key("P-256", {"kid": EC_KID, "use": "sig", "alg": "ES256"})
    )

    @property
    def issuer(self) -> str:
        """Who it says it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def tokeninfo(self) -> str:
        """Google's call that names an access token's audience."""
        return f"{self.issuer}/tokeninfo"

    def settings(self, section: str = "google", **more: Any) -> dict[str, Any]:
        """Return the settings of a house that knows it, under this section."""
        given = {
            "issuer": self.issuer, "client_id": CLIENT, "client_secret": SECRET, "redirect_uris": [REDIRECT],
            "hosts": [], "tokeninfo_url": self.tokeninfo, "trust": "verified", "first_sign_in": "create",
            "timeout_seconds": 2.0, **more,
        }  # fmt: skip
        return {f"providers__{section}__{name}": value for name, value in given.items()}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ------------------------------------------------------------ the process

    def start(self) -> None:
        """Start it, and wait until it answers."""
        clients = [
            {"client_id": CLIENT, "client_secret": SECRET, "redirect_uris": [REDIRECT], "response_types": ["code"],
             "grant_types": ["authorization_code", "refresh_token"], "application_type": "native"},
            {"client_id": OTHER_APP, "client_secret": SECRET, "redirect_uris": [REDIRECT], "response_types": ["code"],
             "grant_types": ["authorization_code"], "application_type": "native"},
        ]  # fmt: skip
        keys = [self.key.as_dict(private=True), self.ec.as_dict(private=True)]
        given = {"port": self.port, "package": str(installed()), "jwks": {"keys": keys}, "clients": clients}
        self.process = subprocess.Popen(
            ["node", HERE / "peer.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(given).encode() + b"\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.strip() == b"ready":
                return
        raise AssertionError("the provider did not start")

    def stop(self) -> None:
        """End it: connections are refused from then on."""
        if self.process is None:
            return
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

    # ------------------------------------------------------------ moving it

    def people(self, **people: dict[str, Any]) -> None:
        """Say who may sign in: login name to claims. The login name is the subject."""
        self._control("people", people)

    def trouble(self, **by_path: dict[str, Any]) -> None:
        """Let it get answers wrong: `jwks=...` for `/jwks`, `discovery=...` for the document."""
        named = {"discovery": "/.well-known/openid-configuration"}
        self._control("trouble", {named.get(path, f"/{path}"): how for path, how in by_path.items()})

    def counted(self) -> dict[str, int]:
        """Return how often each of its paths was asked for."""
        return self._control("count", {})

    def _control(self, what: str, body: dict[str, Any]) -> dict[str, int]:
        answer = httpx2.post(f"{self.issuer}/test/{what}", json=body, timeout=10)
        return dict(answer.json())

    # ------------------------------------------------------------ what an app does there

    def sign_in(self, login: str, *, client: str = CLIENT, page: str | None = None) -> Grant:
        """Sign somebody in as a browser would, and return the authorization code that the app gets.

        :param page: where the browser is sent; None: where an app of this client would send it.
        """
        verifier, nonce, state = (secrets.token_urlsafe(32) for _ in range(3))
        if page is None:
            challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
            asked = {
                "client_id": client, "response_type": "code", "scope": "openid email profile", "redirect_uri": REDIRECT,
                "nonce": nonce, "state": state, "code_challenge": challenge, "code_challenge_method": "S256",
            }  # fmt: skip
            page = str(httpx2.URL(f"{self.issuer}/auth", params=asked))
        with httpx2.Client(follow_redirects=False, timeout=10) as browser:
            answer = browser.get(page)
            for _ in range(12):
                if answer.is_redirect:
                    target = str(httpx2.URL(str(answer.url)).join(answer.headers["location"]))
                    if target.startswith(REDIRECT):
                        back = parse_qs(urlsplit(target).query)
                        assert "code" in back, back
                        return Grant(back["code"][0], verifier, nonce, back["state"][0])
                    answer = browser.get(target)
                    continue
                assert answer.status_code == 200, answer.text
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
                action = re.search(r'action="([^"]+)"', answer.text)
                assert prompt, answer.text
                assert action, answer.text
                form = {"prompt": prompt[1], "login": login, "password": "any"}
                answer = browser.post(str(answer.url.join(action[1])), data=form)
        raise AssertionError("the provider asks and asks")

    def tokens(self, login: str, *, client: str = CLIENT) -> dict[str, Any]:
        """Return what the token endpoint gives an app for somebody who signed in: `id_token`, `access_token`."""
        grant = self.sign_in(login, client=client)
        form = {"grant_type": "authorization_code", "code": grant.code, "code_verifier": grant.verifier,
                "redirect_uri": REDIRECT}  # fmt: skip
        answer = httpx2.post(f"{self.issuer}/token", data=form, auth=(client, SECRET), timeout=10)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def mint(
        self, *, key: RSAKey | ECKey | OctKey | None = None, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """Sign a token with the provider's own key, claims as given beside honest ones; None takes a claim away."""
        now = int(time.time())
        said = {"iss": self.issuer, "aud": CLIENT, "sub": "ada", "iat": now, "exp": now + 600, **claims}
        key = key or self.key
        head = {"alg": "ES256" if isinstance(key, ECKey) else "RS256", "kid": key.kid, **(header or {})}
        said = {name: value for name, value in said.items() if value is not None}
        head = {name: value for name, value in head.items() if value is not None}
        return jws.serialize_compact(head, json.dumps(said).encode(), key, algorithms=[head["alg"]])


def at_this_moment(house: House) -> House:
    """Set a house's clock to the machine's: the provider has its own."""
    house.clock.move(time.time() - house.clock.now() / 1000)
    return house
