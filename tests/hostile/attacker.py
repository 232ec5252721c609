"""Who attacks? `python -m tests.hostile.attacker '<an Order as JSON>'` carries one attack out.

It prints `ready`, waits for a line, and prints what the attack found: `{seconds, problems, notes}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from typing import Any

from tests.hostile.strike import Order, Strike, attacks
from tests.hostile.wire import Connection

#: How much longer than it says an attack may take before it is stopped, in seconds.
LEEWAY = 1.0


async def carry_out(order: Order) -> dict[str, Any]:
    registered = attacks()[order.attack]
    random.seed(f"{order.seed} {order.attack}")
    began = time.monotonic()
    strike = Strike(order, registered.seconds)
    try:
        async with asyncio.timeout(registered.seconds + LEEWAY):
            await registered.run(strike)
    except TimeoutError:
        # What it was to require last was not looked at.
        ending = f"it did not come to its end within {registered.seconds:.0f} s"
    except (OSError, EOFError) as error:
        ending = f"it was cut ({type(error).__name__}): what it requires was not looked at"
    else:
        ending = "" if Connection.sent else "nothing of it was sent"
    if ending:
        strike.problems.append(ending)
    return {"seconds": time.monotonic() - began, "problems": strike.problems, "notes": strike.notes}


if __name__ == "__main__":
    # There are two cores: those whom it attacks, and those who watch, come first.
    os.nice(10)
    given = Order(**json.loads(sys.argv[1]))
    attacks()
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(carry_out(given))), flush=True)
