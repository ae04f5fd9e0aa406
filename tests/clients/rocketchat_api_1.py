"""Sign in, ask who it is, sign out: rocketchat_API 1, which sends forms and returns answers unread.

Arguments: the server's address, the name. The password comes on standard input.
"""

import sys

from rocketchat_API.APIExceptions.RocketExceptions import RocketAuthenticationException
from rocketchat_API.rocketchat import RocketChat

server, name = sys.argv[1:]
password = sys.stdin.read()

try:
    RocketChat(name, password + "!", server_url=server)
except RocketAuthenticationException:
    print("refused")

client = RocketChat(name, password, server_url=server)
print(client.me().json()["username"])
print(client.info().json()["version"])
held = client.headers["X-Auth-Token"], client.headers["X-User-Id"]
print(RocketChat(auth_token=held[0], user_id=held[1], server_url=server).me().json()["email"])
print(client.logout().json()["status"])
if client.me().status_code == 401:
    print("ended")
