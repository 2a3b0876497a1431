"""Liveness, readiness and metrics over HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from kvhelm.errors import KvhelmError


@asynccontextmanager
async def serving(
    listen: str, registry: CollectorRegistry, unready: Callable[[], str]
) -> AsyncIterator[int]:
    """Serve /healthz, /readyz and /metrics at HOST:PORT while the context lasts; yields the port.

    /healthz answers as long as the event loop does. `unready` returns why readiness fails, empty
    if it does not. Raises KvhelmError when the address can't be listened on.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        why = unready()
        return web.Response(text=f"{why or 'ok'}\n", status=503 if why else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    application = web.Application()
    application.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    host, _, port = listen.rpartition(":")
    try:
        site = web.TCPSite(runner, host.strip("[]") or None, int(port))
        await site.start()
        yield runner.addresses[0][1]
    except (OSError, ValueError) as error:
        raise KvhelmError(f"--listen {listen}: {error}") from None
    finally:
        await runner.cleanup()
