"""Ask who it is eleven times with rocket-python, which signs in anew for every call, and say what came of each.

Arguments: the server's address, the name. The password comes on standard input.
"""

import sys

from requests import HTTPError
from rocketchat.api import RocketChatAPI

server, name = sys.argv[1:]
api = RocketChatAPI(settings={"username": name, "password": sys.stdin.read(), "domain": server})
for _ in range(11):
    try:
        print(api.get_my_info()["username"])
    except HTTPError as refused:
        head = refused.response.headers
        print(refused.response.status_code, head["X-RateLimit-Remaining"], head.get("Retry-After"))
