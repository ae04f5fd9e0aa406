"""A client that keeps one refresh token, as a process of its own: `refreshing_child.py HOST PORT SEED`.

Reads one command in JSON a line and answers each with a line. `alone` rotates a chain of its own and throws some
answers away, some of them with the connection; `once` presents a token once, for clients that share a chain.
"""

from __future__ import annotations

import base64
import json
import random
import socket
import sys
from typing import Any

AGENT = "refreshing/1"
PER_CENT_USED = 25
"""How many of the new access tokens are used at once."""
CUT_OFF = 0.4
"""The share of lost answers whose connection goes with them."""


class Client:
    """One connection to the server, made anew where it was cut."""

    def __init__(self, host: str, port: int, seed: int) -> None:
        self._where = (host, port)
        self._chance = random.Random(seed)
        self._socket: socket.socket | None = None

    def ask(self, method: str, path: str, body: str = "", bearer: str = "") -> tuple[int, dict[str, Any]]:
        """Send a request and return status and answer."""
        if self._socket is None:
            self._socket = socket.create_connection(self._where, 60)
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: {AGENT}\r\nContent-Length: {len(body)}\r\n"
        head += f"Authorization: Bearer {bearer}\r\n" if bearer else ""
        head += "Content-Type: application/json\r\n" if body else ""
        self._socket.sendall((head + "\r\n" + body).encode())
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        top = received[:end].lower()
        length = int(top.partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(received) < end + 4 + length:
            received += self._more()
        return int(received[9:12]), json.loads(received[end + 4 :])

    def _more(self) -> bytes:
        assert self._socket is not None
        got = self._socket.recv(65536)
        if not got:
            raise ConnectionError("the server closed the connection in the middle of an answer")
        return got

    def cut(self) -> None:
        """Let the connection go."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def once(self, token: str, *, use: bool = False) -> dict[str, Any]:
        """Present a refresh token; use the new access token at once where that is wanted."""
        status, said = self.ask("POST", "/user/refresh", json.dumps({"refresh_token": token}))
        if status == 200 and use:
            used, profile = self.ask("GET", "/user/profile", bearer=said["accessToken"])
            if used != 200:
                return {"status": used, "said": profile}
        return {"status": status, "said": said}

    def alone(self, token: str, rotations: int, lost: float) -> dict[str, Any]:
        """Rotate a chain so often, losing this share of the answers; say what was seen, or the first surprise."""
        chance, heard, thrown, access = self._chance, token, 0, ""
        for number in range(1, rotations + 1):
            children = set()
            while True:
                answer = self.once(heard, use=False)
                if answer["status"] != 200:
                    return {"surprise": answer, "at": number}
                children.add(answer["said"]["refreshToken"])
                if chance.random() >= lost:
                    break
                thrown += 1
                if chance.random() < CUT_OFF:
                    self.cut()
            if len(children) != 1:
                return {"surprise": f"{len(children)} children", "at": number}
            heard, access = children.pop(), answer["said"]["accessToken"]
            if generation_of(heard) != number:
                return {"surprise": f"generation {generation_of(heard)}", "at": number}
            if chance.randrange(100) < PER_CENT_USED:
                status, said = self.ask("GET", "/user/profile", bearer=access)
                if status != 200:
                    return {"surprise": said, "at": number}
        return {"token": heard, "access": access, "thrown": thrown}


def generation_of(token: str) -> int:
    """Read the generation that a refresh token names: nobody needs a key for that."""
    return int.from_bytes(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[16:20], "big")


def main() -> None:
    """Answer commands until there are no more."""
    client = Client(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(getattr(client, command.pop("do"))(**command)), flush=True)


if __name__ == "__main__":
    main()
