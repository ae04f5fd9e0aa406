"""Captchas: puzzles that keep programs from what is open to everybody (contract of Probe, section 2.7).

A captcha proves nobody and guards no account; budgets do. So where no verifier is configured everything passes.
"""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.core import refusals
from dragoman.core.doors import Door
from dragoman.core.ports import Captcha, ProviderBusy, ProviderUnreachable, TokenRefused
from dragoman.model import Client, Secret

RETRY_SECONDS = 5


class Captchas:
    """Has answers to captchas checked, by the verifier that an operator chose for a door."""

    def __init__(self, by_door: Mapping[str, Captcha]) -> None:
        self._by_door = by_door

    async def check(self, door: Door, answer: str, client: Client) -> None:
        """Have an answer checked. Raises CaptchaRefused; Busy and Unavailable where the verifier gives no answer."""
        verifier = self._by_door.get(door.name)
        if verifier is None:
            return
        try:
            await verifier.check(Secret(answer), client.address if client.network else "")
        except TokenRefused:
            raise refusals.CaptchaRefused from None
        except ProviderBusy:
            raise refusals.Busy(1) from None
        except ProviderUnreachable:
            raise refusals.Unavailable(RETRY_SECONDS) from None
