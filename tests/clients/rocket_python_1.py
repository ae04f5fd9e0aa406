"""Sign in, ask who it is, sign out: rocket-python, which signs in anew for every call unless it is given a token.

Arguments: the server's address, the name. The password comes on standard input.
"""

import sys

from requests import HTTPError
from rocketchat.api import RocketChatAPI
from rocketchat.calls.auth.get_me import GetMe
from rocketchat.calls.auth.logout import Logout

server, name = sys.argv[1:]
password = sys.stdin.read()
settings = {"username": name, "password": password, "domain": server}

try:
    RocketChatAPI(settings={**settings, "password": password + "!"}).get_my_info()
except HTTPError as refused:
    print("refused" if refused.response.status_code == 401 else refused)

print(RocketChatAPI(settings=settings).get_my_info()["username"])
me = GetMe(settings=settings)
kept = {**settings, "token": me.auth_token, "user_id": me.auth_user_id}
print(GetMe(settings=kept).call()["email"])
print(Logout(settings=kept).call()["status"])
try:
    GetMe(settings=kept).call()
except HTTPError as refused:
    print("ended" if refused.response.status_code == 401 else refused)
