"""A passkey in a real browser: made by Chromium with a virtual authenticator, used to sign in over Flashback."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from kit.browser import Browser, chromium
from kit.elsewhere import elsewhere
from kit.house import PASSWORD
from kit.served import served

pytestmark = pytest.mark.slow

AUTHENTICATOR = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip
CALLS = """
const BASE = %s;
const call = async (path, token, body) => (await fetch(BASE + path, {
  method: "POST", body: JSON.stringify(body ?? {}),
  headers: {"content-type": "application/json", ...(token ? {authorization: "Bearer " + token} : {})},
})).json();
const login = () => call("/user/login", null, {email: "ada@example.com", password: %s});
"""
MAKE = """
const {accessToken} = await login();
const {data} = await call("/mfa/setup", accessToken, {mfaType: "PASSKEY"});
const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(data.options);
const made = await navigator.credentials.create({publicKey});
return call("/mfa/verify-setup", accessToken, {mfaType: "PASSKEY", credential: made.toJSON()});
"""
USE = """
const {accessToken, refreshToken} = await login();
const {data} = await call("/mfa/passkey/auth-options", accessToken);
const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(data.options);
const signed = await navigator.credentials.get({publicKey});
const done = await call("/mfa/verify-login", accessToken, {mfaType: "PASSKEY", credential: signed.toJSON()});
return {...done, early: refreshToken};
"""


def run(browser: Browser, base: str, script: str, end: str = "") -> Any:
    """Run a script that may wait, in the page."""
    whole = f"(async () => {{ {CALLS % (json.dumps(base), json.dumps(PASSWORD))} {script} }})(){end}"
    said = browser.ask("Runtime.evaluate", expression=whole, returnByValue=True, awaitPromise=True)
    assert "exceptionDetails" not in said, said
    return said["result"].get("value")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_passkey_is_made_and_signs_in(tmp_path: Path) -> None:
    """By the page of an app at another origin under the same name, which is configured as one that may call."""
    port = free_port()
    base = f"http://localhost:{port}"
    with elsewhere("<title>App</title>") as page, chromium(tmp_path) as browser:
        app = page.replace("127.0.0.1", "localhost").rstrip("/")
        origins = (app, page.rstrip("/"))
        settings = {"server__public_url": base, "dialects__flashback__origins": origins}
        with served(tmp_path, port=port, **settings):
            browser.go(app)
            browser.ask("WebAuthn.enable")
            browser.ask("WebAuthn.addVirtualAuthenticator", options=AUTHENTICATOR)
            made = run(browser, base, MAKE)
            assert made["success"] is True, made
            assert len(made["data"]["backupCodes"]) == 12
            for _ in range(2):
                done = run(browser, base, USE)
                assert done["success"] is True, done
                assert done["refreshToken"]
                assert done.get("early") is None, "the password alone gives no refresh token"
            browser.go(page)
            refused = run(browser, base, USE, ".catch(error => error.name)")
            assert refused == "SecurityError", "the page has another name than the key was made for"
