"""A person is remembered exactly as long as it holds, whoever changes it (docs/decisions/0012)."""

from dragoman.app import core_over
from dragoman.model import Password
from kit.house import PASSWORD, House


async def shown(house, token):
    answer = await house.get("/user/profile", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_every_change_shows_at_the_next_call_also_another_process_s(house: House):
    person = await house.ada()
    login = await house.post("/user/login", json={"email": "ada@example.com", "password": PASSWORD})
    token = login.json()["accessToken"]
    assert (await shown(house, token))["mfaRequired"] is False
    core = house.core
    other = core_over(house.db, core.sealer, house.settings, house.clock, core.random, doors=core.doors.values())
    async with other as elsewhere:
        for here in (core, elsewhere):
            before = await here.accounts.person(await here.accounts.by_id(person.account.id))
            assert before.username == "ada"
        await elsewhere.accounts.rename(await elsewhere.accounts.named("ada"), "ada.example")
        for here in (core, elsewhere):
            after = await here.accounts.person(await here.accounts.named("ada@example.com"))
            assert after.username == "ada.example"
        await elsewhere.factors.enable_totp(await elsewhere.accounts.named("ada.example"))
        seen = await core.accounts.person(await core.accounts.by_id(person.account.id))
        assert {"totp", "recovery"} <= seen.factors
        await elsewhere.factors.disable_totp(await elsewhere.accounts.named("ada.example"))
        seen = await core.accounts.person(await core.accounts.by_id(person.account.id))
        assert not seen.factors & {"totp", "recovery"}
        await elsewhere.accounts.set_password(
            await elsewhere.accounts.named("ada.example"), Password.from_plain("another good phrase"), initial=True
        )
        seen = await core.accounts.person(await core.accounts.by_id(person.account.id))
        assert seen.initial_password
