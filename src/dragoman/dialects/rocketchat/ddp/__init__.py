"""DDP, the protocol of Meteor, over a WebSocket or wrapped in REST (contract sections 7.5 and 13)."""

from __future__ import annotations

from dragoman.dialects.rocketchat.ddp.connection import converse
from dragoman.http import SocketPlace

SOCKET = SocketPlace(path="/websocket", converse=converse)

__all__ = ["SOCKET"]
