"""A reflector against a server that speaks the watch protocol, and misbehaves on demand."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kvhelm.kube.backoff import Backoff
from kvhelm.kube.cache import Index
from kvhelm.kube.client import Client
from kvhelm.kube.errors import Unreachable
from kvhelm.kube.reflector import Reflector
from kvhelm.kube.resource import CONFIG_MAPS, Object

QUICK = Backoff(0.001, 0.01)
Change = tuple[Object | None, Object | None]


class Recorded(Backoff):
    """Waits no time at all, and tells how many failures in a row there were each time."""

    failures: asyncio.Queue[int]

    def __init__(self) -> None:
        super().__init__(base=1.0, cap=3600.0)
        object.__setattr__(self, "failures", asyncio.Queue())

    def delay(self, failures: int) -> float:
        self.failures.put_nowait(failures)
        return 0.0


@dataclass
class Watch:
    """One open watch, as the server sees it: what is put into `lines` is sent as it is."""

    query: dict[str, str]
    lines: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    broken: bool = False

    def send(self, kind: str, obj: Object) -> None:
        self.lines.put_nowait(json.dumps({"type": kind, "object": obj}).encode() + b"\n")

    def bookmark(self, version: int, annotations: dict[str, str] | None = None) -> None:
        metadata: Object = {"resourceVersion": str(version)}
        if annotations:
            metadata["annotations"] = annotations
        self.send("BOOKMARK", {"kind": "ConfigMap", "metadata": metadata})

    def end(self) -> None:
        """End it as the server does after timeoutSeconds."""
        self.lines.put_nowait(None)

    def drop(self) -> None:
        """Break the connection."""
        self.broken = True
        self.end()


class Server:
    """ConfigMaps of one namespace, with a history of changes and levers to pull."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.history: list[tuple[int, str, Object]] = []
        self.version = 10
        self.oldest = 0
        self.initial_events = "sent"
        self.lists: list[dict[str, str]] = []
        self.asked: list[dict[str, str]] = []
        self.accepted: list[str] = []
        self.watches: asyncio.Queue[Watch] = asyncio.Queue()
        self.open: list[Watch] = []

    def put(self, name: str, value: str = "", **labels: str) -> Object:
        self.version += 1
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.objects[name] = obj = {
            "kind": "ConfigMap",
            "metadata": {
                "namespace": "ns",
                "name": name,
                "resourceVersion": str(self.version),
                "labels": labels,
            },
            "data": {"value": value},
        }
        self._tell(kind, obj)
        return obj

    def delete(self, name: str) -> None:
        self.version += 1
        obj = self.objects.pop(name)
        metadata = {**obj["metadata"], "resourceVersion": str(self.version)}
        self._tell("DELETED", {**obj, "metadata": metadata})

    def forget_history(self) -> None:
        """Let every resourceVersion up to now be too old to watch from, as after compaction."""
        self.version += 1
        self.oldest = self.version

    def _tell(self, kind: str, obj: Object) -> None:
        self.history.append((self.version, kind, obj))
        for watch in self.open:
            watch.send(kind, obj)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        if "watch" not in query:
            return self._list(query)
        self.asked.append(query)
        self.accepted.append(request.headers["Accept"])
        since = int(query.get("resourceVersion", 0))
        initial = query.get("sendInitialEvents") == "true"
        if initial and self.initial_events == "refused":
            return status(422, "Invalid", "sendInitialEvents is forbidden for watch")
        if since and since < self.oldest:
            return status(410, "Expired", "too old resource version")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        watch = Watch(query)
        if not since and self.initial_events != "never":
            for obj in self.objects.values():
                watch.send("ADDED", obj)
        if initial and self.initial_events == "sent":
            watch.bookmark(self.version, {"k8s.io/initial-events-end": "true"})
        for version, kind, obj in self.history:
            if since and version > since:
                watch.send(kind, obj)
        self.open.append(watch)
        self.watches.put_nowait(watch)
        try:
            while (line := await watch.lines.get()) is not None:
                await response.write(line)
            if watch.broken and request.transport:
                request.transport.abort()
        finally:
            self.open.remove(watch)
        return response

    def _list(self, query: dict[str, str]) -> web.Response:
        self.lists.append(query)
        names = sorted(self.objects)
        start, size = int(query.get("continue", 0)), 2
        metadata = {"resourceVersion": str(self.version)}
        if start + size < len(names):
            metadata["continue"] = str(start + size)
        items = [self.objects[name] for name in names[start : start + size]]
        return web.json_response({"metadata": metadata, "items": items})


def status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code)


@pytest.fixture
async def server() -> Server:
    return Server()


async def serving(server: Server, port: int | None = None) -> TestServer:
    app = web.Application()
    app.router.add_get("/{path:.*}", server.handle)
    http = TestServer(app, port=port)
    await http.start_server()
    return http


@asynccontextmanager
async def client_of(http: TestServer, tmp_path: Path) -> AsyncIterator[Client]:
    config = {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": str(http.make_url(""))}}],
    }
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    async with await Client.connect(kubeconfig) as client:
        yield client


@pytest.fixture
async def client(server: Server, tmp_path: Path) -> AsyncIterator[Client]:
    http = await serving(server)
    async with client_of(http, tmp_path) as client:
        yield client
    await http.close()


@asynccontextmanager
async def reflecting(
    reflector: Reflector[Object],
) -> AsyncIterator[asyncio.Queue[Change]]:
    """Run a reflector; what its handlers are told comes out of the queue."""
    changes: asyncio.Queue[Change] = asyncio.Queue()
    reflector.add_handler(lambda old, new: changes.put_nowait((old, new)))
    async with asyncio.timeout(30), reflector:
        yield changes


def described(change: Change) -> str:
    old, new = change
    if new is None:
        assert old is not None
        return f"- {old['metadata']['name']}"
    return f"{'~' if old else '+'} {new['metadata']['name']}={new['data']['value']}"


async def told(changes: asyncio.Queue[Change], number: int) -> list[str]:
    return [described(await changes.get()) for _ in range(number)]


def names(keys: Iterable[tuple[str, str]]) -> list[str]:
    return sorted(name for _, name in keys)


async def test_list_and_watch_are_one_request(server: Server, client: Client) -> None:
    server.put("a", "1")
    server.put("b", "1")
    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=QUICK)
    async with reflecting(reflector) as changes:
        await reflector.synced.wait()
        assert names(reflector) == ["a", "b"]
        assert reflector.connected
        server.put("b", "2")
        server.delete("a")
        assert await told(changes, 4) == ["+ a=1", "+ b=1", "~ b=2", "- a"]
    assert client.requests == {("watch", "configmaps"): 1}


async def test_a_dropped_watch_goes_on_where_it_was(server: Server, client: Client) -> None:
    server.put("a", "1")
    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=QUICK)
    async with reflecting(reflector) as changes:
        watch = await server.watches.get()
        await reflector.synced.wait()
        # The bookmark moves on past changes of other resources; the drop must not lose it.
        server.version = 100
        watch.bookmark(100)
        server.put("b", "1")
        assert await told(changes, 2) == ["+ a=1", "+ b=1"]
        server.open.clear()  # what happens now, this watch does not hear of
        server.put("c", "1")
        server.open.append(watch)
        watch.drop()
        resumed = await server.watches.get()
        assert resumed.query["resourceVersion"] == "101"
        assert "sendInitialEvents" not in resumed.query
        assert await told(changes, 1) == ["+ c=1"]
    assert not server.lists


async def test_an_ended_watch_goes_on_from_the_bookmark(server: Server, client: Client) -> None:
    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=QUICK)
    async with reflecting(reflector):
        watch = await server.watches.get()
        watch.bookmark(5000)
        watch.end()
        assert (await server.watches.get()).query["resourceVersion"] == "5000"


@pytest.mark.parametrize("how", ["as an event", "as an answer"])
async def test_too_old_a_version_is_relisted_and_the_vanished_are_told(
    server: Server, client: Client, how: str
) -> None:
    for name in "abc":
        server.put(name, "1")
    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=QUICK)
    async with reflecting(reflector) as changes:
        watch = await server.watches.get()
        await told(changes, 3)
        server.open.clear()
        server.delete("a")
        server.put("b", "2")
        server.forget_history()
        server.open.append(watch)
        if how == "as an event":
            watch.send("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
        watch.drop()
        # c did not change: nobody hears of it.
        assert sorted(await told(changes, 2)) == ["- a", "~ b=2"]
        server.put("d", "1")
        assert await told(changes, 1) == ["+ d=1"]
        assert names(reflector) == ["b", "c", "d"]


async def test_a_server_without_watch_list_is_listed_in_pages(
    server: Server, client: Client
) -> None:
    server.initial_events = "refused"
    for name in "abcde":
        server.put(name, "1")
    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=QUICK)
    async with reflecting(reflector) as changes:
        await reflector.synced.wait()
        assert names(reflector) == list("abcde")
        assert len(server.lists) == 3
        watch = await server.watches.get()
        server.put("a", "2")
        assert (await told(changes, 6))[-1] == "~ a=2"
        # Having said no once, it is not asked again: the next relist begins with the list.
        server.open.clear()
        server.delete("a")
        server.forget_history()
        server.open.append(watch)
        watch.drop()
        assert await told(changes, 1) == ["- a"]
    assert len(server.lists) == 5
    assert ["sendInitialEvents" in query for query in server.asked].count(True) == 1


async def test_an_old_server_that_ignores_the_question_is_found_out(
    server: Server, client: Client
) -> None:
    server.initial_events = "ignored"
    server.put("a", "1")
    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=QUICK)
    async with reflecting(reflector) as changes:
        watch = await server.watches.get()
        assert await told(changes, 1) == ["+ a=1"]
        assert not reflector.synced.is_set()
        watch.bookmark(server.version)  # without the note that initial events are complete
        await reflector.synced.wait()
        assert len(server.lists) == 1
        server.put("b", "1")
        assert await told(changes, 1) == ["+ b=1"]


async def test_a_server_that_never_completes_the_initial_events_is_listed(
    server: Server, client: Client
) -> None:
    server.initial_events = "never"
    server.put("a", "1")
    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=QUICK, initial_silence=0.05)
    async with reflecting(reflector):
        await reflector.synced.wait()
        assert names(reflector) == ["a"]
        assert len(server.lists) == 1


async def test_a_dead_connection_is_noticed(server: Server, client: Client) -> None:
    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=QUICK, silence=0.05)
    async with reflecting(reflector) as changes:
        await server.watches.get()
        dead = await server.watches.get()
        server.open.remove(dead)  # open, but nothing comes through any more
        server.put("a", "1")
        server.open.append(dead)
        assert await told(changes, 1) == ["+ a=1"]


async def test_a_server_that_always_fails_is_asked_ever_more_slowly(
    server: Server, client: Client
) -> None:
    async def fail_at_once() -> None:
        # Initial events come through, which looks like success, and then it breaks.
        while True:
            watch = await server.watches.get()
            watch.send("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})

    failing = asyncio.create_task(fail_at_once())
    backoff = Recorded()
    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=backoff)
    async with reflecting(reflector):
        assert [await backoff.failures.get() for _ in range(20)] == list(range(1, 21))
    failing.cancel()


async def test_an_outage_heals(server: Server, tmp_path: Path) -> None:
    http = await serving(server)
    port = http.port
    assert port
    server.put("a", "1")
    backoff = Recorded()
    async with client_of(http, tmp_path) as client:
        reflector = Reflector[Object](client, CONFIG_MAPS, backoff=backoff)
        async with reflecting(reflector) as changes:
            (await server.watches.get()).drop()
            await told(changes, 1)
            await http.close()
            while await backoff.failures.get() < 5:
                pass
            assert isinstance(reflector.last_error, Unreachable)
            assert not reflector.connected
            server.put("b", "1")
            http = await serving(server, port)
            assert await told(changes, 1) == ["+ b=1"]
            assert reflector.last_error is None
    await http.close()
    assert not server.lists


async def test_lines_come_in_any_pieces(server: Server, client: Client) -> None:
    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=QUICK)
    async with reflecting(reflector) as changes:
        watch = await server.watches.get()
        await reflector.synced.wait()
        server.open.clear()
        events = [
            json.dumps({"type": "ADDED", "object": server.put(name, "x" * 50)}).encode() + b"\n"
            for name in "abc"
        ]
        server.open.append(watch)
        whole = b"".join(events)
        for piece in (whole[:10], whole[10:20], whole[20:-5], whole[-5:] + b'{"type": "ADD'):
            watch.lines.put_nowait(piece)
            await asyncio.sleep(0)
        assert [line[:3] for line in await told(changes, 3)] == ["+ a", "+ b", "+ c"]
        watch.drop()  # in the middle of a line, which comes again whole
        await server.watches.get()
        server.put("d", "1")
        assert await told(changes, 1) == ["+ d=1"]


async def test_a_failing_handler_does_not_stop_the_watch(
    server: Server, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(old: Object | None, new: Object | None) -> None:
        raise RuntimeError("of the handler's own")

    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=QUICK)
    reflector.add_handler(fail)
    async with reflecting(reflector) as changes:
        await reflector.synced.wait()
        with caplog.at_level(logging.ERROR):
            server.put("a", "1")
            server.put("a", "2")
            assert await told(changes, 2) == ["+ a=1", "~ a=2"]
    assert "a handler failed" in caplog.text
    assert client.requests.total() == 1


async def test_own_writes_are_seen_at_once_and_never_undone_by_older_events(
    server: Server, client: Client
) -> None:
    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=QUICK)
    async with reflecting(reflector) as changes:
        watch = await server.watches.get()
        await reflector.synced.wait()
        server.open.clear()
        first = server.put("a", "1")
        second = server.put("a", "2")
        assert reflector.upsert(second)
        assert reflector["ns", "a"] is second
        assert not reflector.upsert(first)
        server.open.append(watch)
        watch.send("ADDED", first)
        watch.send("MODIFIED", second)
        server.put("a", "3")
        assert await told(changes, 2) == ["+ a=2", "~ a=3"]
        server.delete("a")
        assert await told(changes, 1) == ["- a"]
        # The answer of a write that reaches us after the deletion brings nothing back.
        assert not reflector.upsert(second)
        assert not reflector


async def test_an_own_write_survives_a_relist_that_is_older(server: Server, client: Client) -> None:
    server.initial_events = "ignored"
    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=QUICK)
    async with reflecting(reflector):
        watch = await server.watches.get()
        written = {"metadata": {"namespace": "ns", "name": "new", "resourceVersion": "999"}}
        assert reflector.upsert({**written, "data": {"value": "1"}})
        watch.bookmark(server.version)
        await reflector.synced.wait()
        assert names(reflector) == ["new"]


async def test_deletion_wins_over_a_write_of_the_same_version(
    server: Server, client: Client
) -> None:
    """A write that takes an object out of the selector comes back as a deletion."""
    written = server.put("a", "1", app="mine")
    reflector = Reflector[Object](client, CONFIG_MAPS, label_selector="app=mine", backoff=QUICK)
    async with reflecting(reflector) as changes:
        watch = await server.watches.get()
        assert watch.query["labelSelector"] == "app=mine"
        await told(changes, 1)
        watch.send("DELETED", written)
        assert await told(changes, 1) == ["- a"]


async def test_an_index_follows(server: Server, client: Client) -> None:
    server.put("a", app="x")
    server.put("b", app="x")
    reflector = Reflector[Object](client, CONFIG_MAPS, backoff=QUICK)
    by_app = Index(reflector, lambda obj: obj["metadata"]["labels"].values())
    async with reflecting(reflector) as changes:
        await told(changes, 2)
        assert names(by_app["x"]) == ["a", "b"]
        assert names(Index(reflector, lambda obj: ["every"])["every"]) == ["a", "b"]
        server.put("b", app="y")
        server.delete("a")
        await told(changes, 2)
        assert not by_app["x"]
        assert names(by_app["y"]) == ["b"]
        assert list(by_app) == ["y"]


async def test_the_cache_keeps_what_transform_makes(
    server: Server, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    server.put("a", "1")
    server.put("odd", "no number")
    reflector = Reflector(client, CONFIG_MAPS, lambda obj: int(obj["data"]["value"]), backoff=QUICK)
    async with asyncio.timeout(30), reflector:
        await reflector.synced.wait()
        assert dict(reflector) == {("ns", "a"): 1}
    assert "ns/odd cannot be taken into the cache" in caplog.text


async def test_metadata_alone_is_asked_for(server: Server, client: Client) -> None:
    reflector = Reflector[Object](client, CONFIG_MAPS, metadata_only=True, backoff=QUICK)
    async with reflecting(reflector):
        await reflector.synced.wait()
    assert server.accepted == ["application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"]
