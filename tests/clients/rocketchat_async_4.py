"""Drives rocketchat-async 4.3.0: signs in over DDP, comes back with a kept token, is refused with wrong ones."""

import asyncio
import json
import sys
import urllib.request

from rocketchat_async import RocketChat

server, name = sys.argv[1:]
password = sys.stdin.read()
address = server.replace("http://", "ws://") + "/websocket"


def kept_token():
    body = json.dumps({"user": name, "password": password}).encode()
    asked = urllib.request.Request(f"{server}/api/v1/login", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked) as answer:
        return json.load(answer)["data"]


async def main():
    wrong = RocketChat()
    try:
        await asyncio.wait_for(wrong.start(address, name, password + "!"), 10)
    except Exception as refused:
        print("refused", refused)

    client = RocketChat()
    await asyncio.wait_for(client.start(address, name, password), 10)
    kept = kept_token()
    print("signed in", client.user_id == kept["userId"])

    again = RocketChat()
    await asyncio.wait_for(again.resume(address, name, kept["authToken"]), 10)
    print("resumed", again.user_id == kept["userId"])

    stranger = RocketChat()
    try:
        await asyncio.wait_for(stranger.resume(address, name, "x" * 43), 10)
    except Exception as refused:
        print("refused", refused)


asyncio.run(main())
