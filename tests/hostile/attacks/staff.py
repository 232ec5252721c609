"""H8: the staff's door, tried by a stranger."""

from __future__ import annotations

import asyncio

from tests.hostile.strike import Browser, Strike, attack


@attack("wrong passwords", "H8", quick=True, seconds=20, on=("sqlite", "workers-nginx"))
async def wrong_passwords(strike: Strike) -> None:
    """60 for `admin` from one network; the right one from another is let in."""
    if strike.harmless:
        for _ in range(60):
            await strike.ask("GET", "/admin/login/")
        return
    for number in range(60):
        if strike.left < 5:
            strike.note(f"{number} tries")
            break
        await Browser(strike).log_in("admin", f"wrong {number}")
    password = strike.cast["admin"]["password"]
    is_in = await Browser(strike, strike.elsewhere(2)).log_in("admin", password)
    strike.require(is_in, "the right password from another network is refused")
    is_in = await Browser(strike).log_in("admin", password)
    strike.require(not is_in, "the right password is let in after 60 wrong ones from the same network")


@attack("passwords at once", "H8", seconds=30)
async def passwords_at_once(strike: Strike) -> None:
    """Each try costs a slow hash: sixty at once, of names that there are not, from three networks, and long ones."""

    async def one(number: int) -> None:
        browser = Browser(strike, strike.elsewhere(1 + number % 3))
        if strike.harmless:
            await browser.ask("GET", "/admin/login/")
        else:
            await browser.log_in(f"nobody {number}", "x" * (4_000 if number % 2 else 20))

    await asyncio.gather(*(one(number) for number in range(60)))
