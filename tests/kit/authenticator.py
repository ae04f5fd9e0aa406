"""An authenticator in software: what a browser and its passkey answer, made from the WebAuthn specification alone."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from dragoman.core import base64url

_PRESENT, _VERIFIED, _ATTESTED = 0x01, 0x04, 0x40


@dataclass
class Authenticator:
    """One passkey, and the browser page that speaks to it."""

    origin: str = "http://dragoman.test"
    counts: bool = True
    """Whether it counts its signatures, as hardware does."""
    id: bytes = field(default_factory=lambda: os.urandom(32))
    count: int = 0
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def create(self, options: dict[str, Any], **wrong: Any) -> dict[str, Any]:
        """Answer what `navigator.credentials.create` was given. `wrong` replaces parts: rp, challenge, origin."""
        numbers = self.key.public_key().public_numbers()
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        rp = wrong.get("rp", options["rp"]["id"])
        data = self._data(rp, _PRESENT | _VERIFIED | _ATTESTED)
        data += bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cose
        said = self._said("webauthn.create", wrong.get("challenge", options["challenge"]), wrong.get("origin"))
        attested = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        response = {"clientDataJSON": said, "attestationObject": base64url.encode(attested), "transports": ["internal"]}
        return self._credential(response)

    def get(self, options: dict[str, Any], **wrong: Any) -> dict[str, Any]:
        """Answer what `navigator.credentials.get` was given: a signature. `wrong` replaces parts, as of `create`."""
        self.count += self.counts
        data = self._data(wrong.get("rp", options["rpId"]), _PRESENT | _VERIFIED)
        said = self._said("webauthn.get", wrong.get("challenge", options["challenge"]), wrong.get("origin"))
        signed = data + hashlib.sha256(base64url.decode(said) or b"").digest()
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": said, "authenticatorData": base64url.encode(data),
            "signature": base64url.encode(signature),
        }  # fmt: skip
        return self._credential(response)

    def _data(self, rp: str, flags: int) -> bytes:
        return hashlib.sha256(rp.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _said(self, kind: str, challenge: str, origin: str | None) -> str:
        said = {"type": kind, "challenge": challenge, "origin": origin or self.origin, "crossOrigin": False}
        return base64url.encode(json.dumps(said).encode())

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        id = base64url.encode(self.id)
        return {"id": id, "rawId": id, "type": "public-key", "response": response, "clientExtensionResults": {}}
