"""Make, look at, change, bar and delete an account: rocketchat_API 3, as its documentation has it.

Arguments: the server's address, the name of an administrator. The password comes on standard input.
"""

import sys

from rocketchat_API.APIExceptions.RocketExceptions import RocketApiException, RocketAuthenticationException
from rocketchat_API.rocketchat import RocketChat

server, name = sys.argv[1:]
password = sys.stdin.read()
theirs = "a long horse story"


def signs_in() -> bool:
    """Tell whether the account signs in."""
    try:
        RocketChat("carol", theirs, server_url=server)
    except RocketAuthenticationException:
        return False
    return True


client = RocketChat(name, password, server_url=server)
made = client.users_create("carol@example.com", "Carol Example", theirs, "carol")["user"]
print(made["username"], made["roles"], made["emails"])
try:
    client.users_create("dora@example.com", "Dora Example", theirs, "carol")
except RocketApiException as refused:
    print(refused.status_code, "error-field-unavailable" in str(refused))
carol = RocketChat("carol", theirs, server_url=server)
print(client.users_info(username="carol")["user"]["_id"] == made["_id"])
print(client.users_info(email="carol@example.com")["user"]["name"])
print(client.users_get_presence(username="carol")["presence"])
print(client.users_update(made["_id"], name="Carola Example")["user"]["name"])
print(carol.me()["name"])
try:
    carol.users_delete(made["_id"])
except RocketApiException as refused:
    print(refused.status_code)
print(client.users_set_active_status(made["_id"], False)["user"]["active"], signs_in())
try:
    carol.me()
except RocketApiException as refused:
    print(refused.status_code)
print(client.users_set_active_status(made["_id"], True)["user"]["active"], signs_in())
print(len(client.permissions_list_all()["update"]) > 10)
changed = client.permissions_update([{"_id": "delete-user", "roles": ["user"]}])["permissions"]
print(next(each["roles"] for each in changed if each["_id"] == "delete-user"))
try:
    client.users_delete(made["_id"])
except RocketApiException as refused:
    print(refused.status_code)
client.permissions_update([{"_id": "delete-user", "roles": ["admin"]}])
print(client.users_delete(made["_id"])["deletedRooms"], signs_in())
