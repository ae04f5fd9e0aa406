from dragoman.core.doors import Door
from dragoman.core.tokens import Opaque
from dragoman.model import Password, SignedIn, Typed
from kit.house import PASSWORD, House, client

DOOR = Door(name="test", token=Opaque("test", "abc123", 43), absolute=3600)


async def test_smoke(house: House):
    await house.ada()
    out = await house.core.signin.with_password(
        DOOR, Typed("any", "Ada@Example.com"), Password.from_plain(PASSWORD), client()
    )
    assert isinstance(out, SignedIn)
    caller = await house.core.sessions.authenticate(DOOR, out.token)
    assert caller.session.id == out.session.id
    assert (await house.get("/health")).status_code == 200
