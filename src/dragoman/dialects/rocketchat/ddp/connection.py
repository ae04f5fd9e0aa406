"""One DDP connection: agreeing on a version, then messages strictly in their order (contract sections 13.1 to 13.5)."""

from __future__ import annotations

from typing import Any

from dragoman.core.ports import text
from dragoman.dialects.rocketchat.ddp import messages
from dragoman.dialects.rocketchat.ddp.messages import User
from dragoman.dialects.rocketchat.ddp.methods import Visit
from dragoman.dialects.rocketchat.wire import ALIAS, Email
from dragoman.http import Fault, Socket
from dragoman.http.body import Gone
from dragoman.model import SignedIn

OPENING_SECONDS = 10.0
"""From the opening to a `connect` that can be answered."""
HEARTBEAT_SECONDS = 15.0
"""Silence after which the client is asked whether it is there, and how long it may take to say anything."""
SILENT_SECONDS = 900.0
"""Silence that ends a connection of version `pre1`, which knows no ping."""
IDS = "23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz"
SUBSCRIPTIONS = frozenset({
    "meteor.loginServiceConfiguration", "stream-notify-user", "stream-notify-logged", "stream-notify-all",
    "stream-room-messages", "userData", "activeUsers",
})  # fmt: skip
"""They are ready at once and bring nothing: what they would bring is no part of signing in."""


class Connection(Visit):
    """A client at the other end of a socket."""

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket.call)
        self._socket = socket
        self.connection = text(socket.call.core.random, IDS, 17)
        self._pings = True

    async def open(self) -> bool:
        """Wait for a `connect` and agree on a version; tell whether that came about."""
        clock = self.call.core.clock
        ends_at = clock.monotonic() + OPENING_SECONDS
        while (left := ends_at - clock.monotonic()) > 0 and (frame := await self._socket.receive(left)) is not None:
            message = await self._read(frame)
            if message is None:
                continue
            if message["msg"] != "connect":
                await self._wrong("Must connect first", message)
                continue
            version, good = messages.agreed(message)
            if not good:
                await self._say({"msg": "failed", "version": version})
                return False
            self._pings = version != "pre1"
            await self._say({"msg": "connected", "session": self.connection})
            return True
        return False

    async def next(self) -> Any:
        """Return the next message, or None when the client has fallen silent."""
        asked = False
        while True:
            frame = await self._socket.receive(HEARTBEAT_SECONDS if self._pings else SILENT_SECONDS)
            if frame is not None:
                asked = False
                message = await self._read(frame)
                if message is not None:
                    return message
            elif asked or not self._pings:
                return None
            else:
                await self._say({"msg": "ping"})
                asked = True

    async def take(self, message: dict[str, Any]) -> None:
        """Do what a message says, and answer it."""
        match message["msg"]:
            case "ping":
                echo = {"id": message["id"]} if "id" in message else {}
                await self._say({"msg": "pong", **echo})
            case "pong":
                pass
            case "method":
                await self._call(message)
            case "sub":
                await self._subscribe(message)
            case "unsub":
                await self._say({"msg": "nosub", "id": message.get("id")})
            case "connect":
                await self._wrong("Already connected", message)
            case _:
                await self._wrong("Bad request", message)

    async def hold(self, held: SignedIn | None) -> None:
        """Follow another session, and tell the client who it is now, if that changed."""
        before = self.user
        await super().hold(held)
        if held is None:
            self._socket.unfollow()
        else:
            self._socket.follow(held.session)
        if before == self.user:
            return
        if before:
            await self._say({"msg": "removed", "collection": "users", "id": before})
        if held is not None:
            emails = tuple(Email(each.shown, each.state == "verified") for each in held.person.emails)
            fields = User(held.person.username, emails) if emails else User(held.person.username)
            user = held.person.aliases[ALIAS]
            await self._say({"msg": "added", "collection": "users", "id": user, "fields": fields})

    async def _call(self, message: dict[str, Any]) -> None:
        id, name, params = message.get("id"), message.get("method"), message.get("params", [])
        if not isinstance(id, str) or not isinstance(name, str) or not isinstance(params, list):
            await self._wrong("Malformed method invocation", message)
            return
        try:
            outcome = await self.outcome(name, params)
        except Gone:
            raise
        except Exception as broken:
            self._socket.report(broken)
            outcome = {"error": messages.INTERNAL}
        await self._say({"msg": "result", "id": id, **outcome})
        await self._say({"msg": "updated", "methods": [id]})

    async def _subscribe(self, message: dict[str, Any]) -> None:
        id, name = message.get("id"), message.get("name")
        if not isinstance(id, str) or not isinstance(name, str) or not isinstance(message.get("params", []), list):
            await self._wrong("Malformed subscription", message)
        elif name in SUBSCRIPTIONS:
            await self._say({"msg": "ready", "subs": [id]})
        else:
            await self._say({"msg": "nosub", "id": id, "error": messages.not_found("Subscription", name)})

    async def _read(self, frame: str | bytes) -> dict[str, Any] | None:
        """Return the message in a frame, or answer what is none."""
        try:
            message = messages.read(frame)
        except Fault:
            await self._say({"msg": "error", "reason": "Parse error"})
            return None
        if isinstance(message, dict) and isinstance(message.get("msg"), str) and message["msg"]:
            return message
        await self._wrong("Bad request", message)
        return None

    async def _wrong(self, reason: str, message: Any) -> None:
        offending = {"offendingMessage": message} if message or isinstance(message, dict) else {}
        await self._say({"msg": "error", "reason": reason, **offending})

    async def _say(self, message: dict[str, Any]) -> None:
        await self._socket.send(messages.encode(message))


async def converse(socket: Socket) -> None:
    """Speak with one client until it goes or falls silent."""
    connection = Connection(socket)
    if await connection.open():
        while (message := await connection.next()) is not None:
            await connection.take(message)
