"""A verifier of captchas as reCAPTCHA, hCaptcha and Turnstile document it, in a process of its own.

Standard input: one line of JSON with `port` and `secret`. Prints "ready". Below /test the tests say what was solved,
and what goes wrong; an answer is good once, and for whoever knows the secret.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

GIVEN = json.loads(sys.stdin.readline())
SOLVED: dict[str, dict[str, Any]] = {}
TROUBLE: dict[str, Any] = {}
SEEN: list[dict[str, str]] = []


class Server(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer a POST; nothing else is spoken here."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        path = urlsplit(self.path).path
        if path == "/test/solved":
            SOLVED.update(json.loads(body))
            self._send(200, {})
        elif path == "/test/trouble":
            TROUBLE.clear()
            TROUBLE.update(json.loads(body))
            self._send(200, {})
        elif path == "/test/seen":
            self._send(200, SEEN)
        elif path == "/siteverify":
            form = {name: values[0] for name, values in parse_qs(body).items()}
            SEEN.append({**form, "content-type": self.headers.get("content-type", "")})
            self._verify(form)
        else:
            SEEN.append({"path": path})
            self._send(404, {})

    def _verify(self, form: dict[str, str]) -> None:
        if "seconds" in TROUBLE:
            time.sleep(TROUBLE["seconds"])
        if "location" in TROUBLE:
            self._send(302, {}, location=TROUBLE["location"])
        elif "bytes" in TROUBLE:
            self._send(200, {"success": True, "more": "x" * TROUBLE["bytes"]})
        elif "status" in TROUBLE or "body" in TROUBLE:
            self._send(TROUBLE.get("status", 200), TROUBLE.get("body", {}))
        elif form.get("secret") != GIVEN["secret"]:
            self._send(200, {"success": False, "error-codes": ["invalid-input-secret"]})
        elif form.get("response") not in SOLVED:
            self._send(200, {"success": False, "error-codes": ["timeout-or-duplicate"]})
        else:
            self._send(200, {"success": True, **SOLVED.pop(form["response"])})

    def _send(self, status: int, body: Any, **headers: str) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


server = ThreadingHTTPServer(("127.0.0.1", GIVEN["port"]), Server)
server.daemon_threads = True
print("ready", flush=True)
server.serve_forever()
