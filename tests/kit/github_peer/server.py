"""GitHub's OAuth as its documentation has it, on loopback, in a process of its own. Standard library alone.

Below /oidc it is a plain provider of OpenID Connect besides, quicker to start than the real one: whoever has its key
signs the ID tokens beforehand.

Standard input: one line of JSON with `port`, `clients` (id to secret), `jwks` (public). Prints "ready". Below /test the
tests say who is there and what goes wrong; nothing else is taken on trust: codes are good once, PKCE is checked, tokens
belong to a client.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

GIVEN = json.loads(sys.stdin.readline())
PEOPLE: dict[str, dict[str, Any]] = {}
CODES: dict[str, dict[str, str]] = {}
TOKENS: dict[str, dict[str, str]] = {}
TROUBLE: dict[str, Any] = {}
COUNTED: dict[str, int] = {}


class Server(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Answer a POST."""
        self._answer("POST")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        path = urlsplit(self.path).path
        COUNTED[path] = COUNTED.get(path, 0) + 1
        how = TROUBLE.get(path)
        if path.startswith("/test/"):
            self._control(path, json.loads(body or "{}"))
        elif how is not None and how["kind"] == "slow":
            time.sleep(30)
        elif how is not None and how["kind"] == "redirect":
            self._send(302, {}, location=how["to"])
        elif how is not None:
            self._send(how["status"], how.get("body", {}))
        elif path == "/oidc/.well-known/openid-configuration":
            base = f"http://127.0.0.1:{GIVEN['port']}/oidc"
            self._send(200, {"issuer": base, "jwks_uri": f"{base}/jwks", "token_endpoint": f"{base}/token"})
        elif path == "/oidc/jwks":
            self._send(200, GIVEN["jwks"])
        elif (method, path) in (("POST", "/login/oauth/access_token"), ("POST", "/oidc/token")):
            self._exchange({name: values[0] for name, values in parse_qs(body).items()})
        elif method == "POST" and path.startswith("/api/applications/") and path.endswith("/token"):
            self._check(path.split("/")[3], json.loads(body or "{}"))
        elif method == "GET" and path in ("/api/user", "/api/user/emails"):
            self._user(path)
        else:
            self._send(404, {"message": "Not Found"})

    def _client(self) -> str | None:
        """Return the client that the Authorization header proves."""
        scheme, _, value = (self.headers.get("authorization") or "").partition(" ")
        if scheme != "Basic":
            return None
        name, _, secret = base64.b64decode(value).decode().partition(":")
        return name if GIVEN["clients"].get(name) == secret else None

    def _exchange(self, form: dict[str, str]) -> None:
        client = form.get("client_id") or self._client()
        secret = form.get("client_secret")
        if client is None or (secret is not None and GIVEN["clients"].get(client) != secret):
            self._send(200, {"error": "incorrect_client_credentials"})
            return
        code = CODES.pop(form.get("code", ""), None)
        if code is None or code["client"] != client:
            self._send(200, {"error": "bad_verification_code", "error_description": "The code passed is incorrect."})
            return
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if code.get("challenge") and code["challenge"] != base64.urlsafe_b64encode(digest).rstrip(b"=").decode():
            self._send(200, {"error": "bad_verification_code"})
            return
        token = f"gho_{secrets.token_hex(18)}"
        TOKENS[token] = {"login": code["login"], "client": client, "scope": code["scope"]}
        signed = {"id_token": code["id_token"]} if "id_token" in code else {}
        self._send(200, {"access_token": token, "scope": code["scope"], "token_type": "bearer", **signed})

    def _check(self, client: str, body: dict[str, Any]) -> None:
        if self._client() != client:
            self._send(401, {"message": "Bad credentials"})
            return
        held = TOKENS.get(str(body.get("access_token")))
        if held is None or held["client"] != client:
            self._send(404, {"message": "Not Found"})
            return
        person = PEOPLE[held["login"]]
        owner = {"id": person["id"], "login": held["login"]}
        app = {"client_id": client, "name": "Dragoman"}
        self._send(200, {"id": 1, "app": app, "scopes": held["scope"].split(), "user": owner})

    def _user(self, path: str) -> None:
        _, _, token = (self.headers.get("authorization") or "").partition(" ")
        held = TOKENS.get(token)
        if held is None:
            self._send(401, {"message": "Bad credentials"})
            return
        person = PEOPLE[held["login"]]
        if path == "/api/user":
            said = {"login": held["login"], "id": person["id"], "name": person.get("name"),
                    "email": person.get("public_email"), "avatar_url": person.get("avatar_url", "")}  # fmt: skip
            self._send(200, said)
        elif "user:email" not in held["scope"]:
            self._send(404, {"message": "Not Found"})
        else:
            self._send(200, person.get("emails", []))

    def _control(self, path: str, body: dict[str, Any]) -> None:
        if path == "/test/people":
            PEOPLE.clear()
            PEOPLE.update(body)
        elif path == "/test/person":
            PEOPLE.update(body)
        elif path == "/test/trouble":
            TROUBLE.clear()
            TROUBLE.update(body)
        elif path == "/test/code":
            code = secrets.token_hex(10)
            CODES[code] = body
            self._send(200, {"code": code})
            return
        elif path == "/test/token":
            token = f"gho_{secrets.token_hex(18)}"
            TOKENS[token] = body
            self._send(200, {"token": token})
            return
        self._send(200, COUNTED)

    def _send(self, status: int, body: Any, **headers: str) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json; charset=utf-8")
        self.send_header("content-length", str(len(text)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)


def main() -> None:
    """Serve until killed."""
    server = ThreadingHTTPServer(("127.0.0.1", GIVEN["port"]), Server)
    server.daemon_threads = True
    print("ready", flush=True)
    server.serve_forever()


main()
