"""How do events reach their endpoints?

Each server process runs a sender. It is woken when this process commits an event, and looks every few seconds
for those of others and for those whose next attempt is due.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter

import aiohttp

from core import outbound
from core.db.executor import in_thread, in_thread_until_answered
from core.errors import ApiError
from core.observability import metrics
from webhooks import claims, outbox, signing
from webhooks.claims import ATTEMPT_SECONDS, Claim

logger = logging.getLogger(__name__)

#: Seconds between two looks where nothing wakes it.
LOOK_SECONDS = 2.0
#: Deliveries a process sends at once.
AT_ONCE = 64
#: How often it tidies, in seconds.
TIDY_SECONDS = 600.0


class Sender:
    """What sends, in one process."""

    def __init__(self, session: aiohttp.ClientSession | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        # An answer's status is all that is looked at: no more than 64 KiB of its body is taken from the network.
        self._session = session or outbound.session(
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_SECONDS),
            headers={"User-Agent": "Lexicon-Webhooks"},
            read_bufsize=32 * 1024,
        )
        self._woken = asyncio.Event()
        self._sending: dict[asyncio.Task[None], Claim] = {}
        self._tidied_at = float("-inf")

    async def run(self) -> None:
        """Send until cancelled; then what is not answered yet is given back."""
        outbox.listen(self._wake)
        try:
            while True:
                self._woken.clear()
                try:
                    await self._look()
                except ApiError:
                    pass  # The database is away; the heartbeat says so in the log.
                except Exception:
                    logger.exception("looking for webhooks failed; it goes on")
                # Not wait_for: on Python 3.11 it swallows a cancellation that comes with the wake-up.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._woken.wait()
        finally:
            outbox.stop_listening(self._wake)
            await self._stop()

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._woken.set)

    async def _look(self) -> None:
        room = AT_ONCE - len(self._sending)
        if room:
            sending = Counter(claim.endpoint_id for claim in self._sending.values())
            for claim in await in_thread(claims.claim_due, sending=sending, most=room):
                task = self._loop.create_task(self._send(claim), name=f"webhook {claim.webhook_id}")
                self._sending[task] = claim
                task.add_done_callback(self._sent)
        if time.monotonic() - self._tidied_at >= TIDY_SECONDS and not await in_thread(claims.do_tidy):
            self._tidied_at = time.monotonic()

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.pop(task, None)
        # There is room again.
        self._woken.set()
        if not task.cancelled() and (failure := task.exception()):
            logger.error("%s failed", task.get_name(), exc_info=failure)

    async def _send(self, claim: Claim) -> None:
        status, error = await self._post(claim)
        # If the database is away for longer than the claim lasts, it is sent again.
        if not error and status is not None:
            metrics.WEBHOOK_ATTEMPTS.labels("delivered").inc()
            await in_thread_until_answered(claims.save_delivered, claim, status=status)
        else:
            metrics.WEBHOOK_ATTEMPTS.labels("failed").inc()
            await in_thread_until_answered(claims.save_failed, claim, status=status, error=error, gone=status == 410)

    async def _post(self, claim: Claim) -> tuple[int | None, str]:
        """The status it was answered with, if any, and why it did not arrive; "" where it did."""
        if not claim.secrets:
            return None, "its secret can not be read: see SECRET_KEY_FALLBACKS"
        headers = signing.headers(webhook_id=claim.webhook_id, body=claim.body, secrets=claim.secrets)
        try:
            async with self._session.post(
                outbound.check_url(claim.url), data=claim.body.encode(), headers=headers, allow_redirects=False
            ) as answer:
                return answer.status, problem_of(answer.status)
        except outbound.Forbidden as error:
            return None, f"the address {error}"
        except TimeoutError:
            return None, f"no answer within {ATTEMPT_SECONDS:.0f} seconds"
        except aiohttp.ClientConnectorDNSError:
            return None, "the name of the host is not known"
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch):
            return None, "no secure connection: the certificate is not valid, or it does not speak TLS"
        except aiohttp.ClientConnectorError:
            return None, "no connection: nobody listens there"
        except (aiohttp.ClientError, ValueError):
            return None, "the connection broke off, or what answered does not speak HTTP"

    async def _stop(self) -> None:
        left = dict(self._sending)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        with contextlib.suppress(ApiError):
            await in_thread(claims.give_back, [claim for task, claim in left.items() if task.cancelled()])
        await self._session.close()


def problem_of(status: int) -> str:
    """Why this answer does not mean that it arrived; "" where it does."""
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"answered {status}: redirects are not followed"
    if status == 410:
        return "answered 410: it wants no webhooks any more"
    return f"answered {status}"


async def run() -> None:
    """Send this process's share until cancelled."""
    await Sender().run()
