"""Flashback's calls about devices (contract section 7).

A device is what clients said of themselves when they signed in. That one is trusted is its owner's mark and changes
nothing else: no second factor is left out for it.
"""

from __future__ import annotations

from dragoman.dialects.flashback import wire, wire_sessions
from dragoman.dialects.flashback.sessions import id_in
from dragoman.http import Call, operation

FINGERPRINT = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@operation("GET", "/devices", answers={200: wire_sessions.DeviceItems}, tag="devices")
async def list_devices(call: Call) -> wire_sessions.DeviceItems:
    """List the devices that the caller signed in with and whose clients described them, the last used first."""
    found, now = await call.core.devices.list_own(call.signed_in.account.id), call.core.clock.now()
    return wire_sessions.DeviceItems(devices=[wire_sessions.device_item(each, now) for each in found])


@operation("GET", "/devices/{device_id}", answers={200: wire_sessions.OneDevice}, tag="devices")
async def show_device(call: Call) -> wire_sessions.OneDevice:
    """Show one of the caller's devices with the clients that are signed in on it."""
    account = call.signed_in.account.id
    device = await call.core.devices.find_own(account, id_in(call, "device_id"))
    held, links = await call.core.sessions.list_clients(account), await call.core.devices.of_sessions(account)
    return wire_sessions.one_device(device, call.core.clock.now(), held, links)


@operation(
    "POST",
    "/devices/trust",
    body=wire_sessions.Trust,
    answers={200: wire_sessions.Trusted},
    fresh=True,
    verified=True,
    tag="devices",
    examples={"own": {"fingerprint": FINGERPRINT}},
)
async def trust_device(call: Call, body: wire_sessions.Trust) -> wire_sessions.Trusted:
    """Mark one of the caller's devices as trusted for 30 days. Only a mark: nothing is asked less of it."""
    until = await call.core.devices.trust(call.signed_in, body.fingerprint, call.client)
    return wire_sessions.trusted(until)


@operation("POST", "/devices/{device_id}/untrust", answers={200: wire.Done}, tag="devices")
async def untrust_device(call: Call) -> wire.Done:
    """Let one of the caller's devices be trusted no more."""
    await call.core.devices.untrust(call.signed_in, id_in(call, "device_id"), call.client)
    return wire.Done(message="The device is not trusted any more")


@operation("DELETE", "/devices/{device_id}", answers={200: wire.Done}, tag="devices")
async def remove_device(call: Call) -> wire.Done:
    """Forget one of the caller's devices and end the clients that are signed in on it, this one too."""
    await call.core.devices.remove(call.signed_in, id_in(call, "device_id"), call.client)
    return wire.Done(message="The device was removed")


OPERATIONS = (list_devices, show_device, trust_device, untrust_device, remove_device)
