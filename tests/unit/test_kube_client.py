"""The client against a server whose answers each test scripts."""

import asyncio
import errno
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.config import incluster_config

from kvhelm.errors import KubeError
from kvhelm.kube import config, transport
from kvhelm.kube.client import Client
from kvhelm.kube.errors import (
    AlreadyExists,
    BadAnswer,
    ConfigError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    error_for,
)
from kvhelm.kube.resource import CONFIG_MAPS, NODES, Object, Resource

Answer = web.Response | Callable[[web.Request], web.Response]
MAP: Object = {"metadata": {"namespace": "ns", "name": "a"}}


class Script:
    """Gives its answers one after the other, the last one for ever; keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[web.Request, Object]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.asked.append((request, json.loads(raw) if raw else {}))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            return answer(request)
        # A response can be sent once; the script may repeat it.
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def ok(body: object = MAP) -> web.Response:
    return web.json_response(body)


def refusal(code: int, reason: str = "", headers: dict[str, str] | None = None) -> web.Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": f"it is {reason}"}
    return web.json_response(body, status=code, headers=headers)


def broken(request: web.Request) -> web.Response:
    assert request.transport
    request.transport.abort()
    return web.Response()


@pytest.fixture
async def script() -> Script:
    return Script()


@pytest.fixture
async def url(script: Script) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.handle)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def kubeconfig(folder: Path, url: str, user: Object | None = None) -> Path:
    path = folder / "kubeconfig"
    context = {"cluster": "test", "user": "me"}
    content = {
        "current-context": "test",
        "contexts": [
            {"name": "test", "context": context},
            {"name": "elsewhere", "context": {"cluster": "far"}},
        ],
        "clusters": [
            {"name": "test", "cluster": {"server": url}},
            {"name": "far", "cluster": {"server": "http://127.0.0.1:9"}},
        ],
        "users": [{"name": "me", "user": user or {}}],
    }
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
async def client(url: str, tmp_path: Path) -> AsyncIterator[Client]:
    async with await Client.connect(kubeconfig(tmp_path, url)) as client:
        yield client


async def test_each_verb_asks_what_the_api_understands(script: Script, client: Client) -> None:
    script.answers = [ok()]
    await client.get(CONFIG_MAPS, "a", "ns", metadata_only=True)
    await client.create(CONFIG_MAPS, MAP, fieldManager="me", fieldValidation="Strict")
    await client.patch(CONFIG_MAPS, "a", {"data": {"k": "v"}}, "ns", dryRun="All")
    await client.patch(CONFIG_MAPS, "a", [{"op": "remove", "path": "/data"}], "ns")
    await client.patch_status(CONFIG_MAPS, "a", {"ready": True}, "ns")
    await client.apply(CONFIG_MAPS, MAP, field_manager="me", force=True)
    await client.delete(CONFIG_MAPS, "a", "ns", uid="u", propagation="Foreground")
    one = "/api/v1/namespaces/ns/configmaps/a"
    assert [(r.method, r.path_qs, r.content_type) for r, _ in script.asked] == [
        ("GET", one, "application/json"),
        (
            "POST",
            "/api/v1/namespaces/ns/configmaps?fieldManager=me&fieldValidation=Strict",
            "application/json",
        ),
        ("PATCH", one + "?dryRun=All", "application/merge-patch+json"),
        ("PATCH", one, "application/json-patch+json"),
        ("PATCH", one + "/status", "application/merge-patch+json"),
        ("PATCH", one + "?fieldManager=me&force=true", "application/apply-patch+yaml"),
        ("DELETE", one, "application/json"),
    ]
    assert "as=PartialObjectMetadata;" in script.asked[0][0].headers["Accept"]
    assert script.asked[4][1] == {"status": {"ready": True}}
    assert script.asked[5][1]["kind"] == "ConfigMap"
    assert script.asked[6][1] == {
        "preconditions": {"uid": "u"},
        "propagationPolicy": "Foreground",
    }
    assert client.requests == {
        ("get", "configmaps"): 1,
        ("create", "configmaps"): 1,
        ("patch", "configmaps"): 2,
        ("patch", "configmaps/status"): 1,
        ("apply", "configmaps"): 1,
        ("delete", "configmaps"): 1,
    }


def test_paths() -> None:
    apps = Resource("apps", "v1", "statefulsets", "StatefulSet")
    assert apps.path("ns", "a", "scale") == "/apis/apps/v1/namespaces/ns/statefulsets/a/scale"
    assert apps.path() == "/apis/apps/v1/statefulsets"
    assert NODES.path(None, "n") == "/api/v1/nodes/n"
    assert apps.api_version == "apps/v1"
    with pytest.raises(ValueError, match="needs a namespace"):
        apps.path(None, "a")


@pytest.mark.parametrize(
    ("code", "reason", "kind", "transient"),
    [
        (401, "Unauthorized", Unauthorized, False),
        (403, "Forbidden", Forbidden, False),
        (404, "NotFound", NotFound, False),
        (409, "Conflict", Conflict, True),
        (409, "AlreadyExists", AlreadyExists, False),
        (410, "Expired", Gone, True),
        (422, "Invalid", Invalid, False),
        (500, "InternalError", ServerError, True),
    ],
)
async def test_refusals_have_a_type_each(
    script: Script,
    client: Client,
    code: int,
    reason: str,
    kind: type[KubeError],
    transient: bool,
) -> None:
    script.answers = [refusal(code, reason)]
    with pytest.raises(kind) as caught:
        await client.get(CONFIG_MAPS, "a", "ns")
    assert type(caught.value) is kind
    assert caught.value.transient is transient
    assert str(caught.value) == f"it is {reason}"
    assert len(script.asked) == 1


def test_field_managers_that_disagree_do_not_go_away_by_waiting() -> None:
    causes = [{"reason": "FieldManagerConflict", "field": ".data.a"}]
    body = {
        "kind": "Status",
        "reason": "Conflict",
        "message": "several\nlines",
        "details": {"causes": causes},
    }
    error = error_for(409, body, "PATCH /x")
    assert not error.transient
    assert str(error) == "several lines"


async def test_what_is_no_api_server_is_said_so(script: Script, client: Client) -> None:
    script.answers = [web.Response(text="<html>hello</html>", content_type="text/html")]
    with pytest.raises(BadAnswer, match="is it a Kubernetes API"):
        await client.get(CONFIG_MAPS, "a", "ns")
    script.answers = [web.Response(text="bad gateway", status=502)]
    with pytest.raises(ServerError, match="HTTP 502: bad gateway"):
        await client.get(CONFIG_MAPS, "a", "ns")


async def test_a_busy_server_is_asked_again_when_it_says(script: Script, client: Client) -> None:
    busy = refusal(429, "TooManyRequests", {"Retry-After": "0"})
    script.answers = [busy, busy, ok()]
    assert await client.create(CONFIG_MAPS, MAP) == MAP
    assert client.requests["create", "configmaps"] == 3
    script.answers = [busy]
    with pytest.raises(TooManyRequests) as caught:
        await client.create(CONFIG_MAPS, MAP)
    assert caught.value.retry_after == 0
    script.answers = [refusal(429, "TooManyRequests", {"Retry-After": "60"})]
    before = len(script.asked)
    with pytest.raises(TooManyRequests) as caught:
        await client.get(CONFIG_MAPS, "a", "ns")
    assert caught.value.retry_after == 60
    assert len(script.asked) == before + 1


async def test_a_broken_connection_repeats_what_may_be_repeated(
    script: Script, client: Client
) -> None:
    script.answers = [broken, ok()]
    await client.patch(CONFIG_MAPS, "a", {"data": {"k": "v"}}, "ns")
    assert len(script.asked) == 2
    operations: list[Object] = [{"op": "add", "path": "/l/-", "value": 1}]
    not_twice: list[Callable[[], Awaitable[Object]]] = [
        lambda: client.create(CONFIG_MAPS, MAP),
        lambda: client.patch(CONFIG_MAPS, "a", operations, "ns"),
    ]
    for once in not_twice:
        script.answers = [broken, ok()]
        before = len(script.asked)
        with pytest.raises(Unreachable) as caught:
            await once()
        assert caught.value.transient
        assert len(script.asked) == before + 1


async def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    async with await Client.connect(kubeconfig(tmp_path, "x"), "elsewhere") as client:
        with pytest.raises(
            Unreachable, match=r"http://127\.0\.0\.1:9 cannot be reached: Connection refused"
        ):
            await client.create(CONFIG_MAPS, MAP)
        assert client.requests["create", "configmaps"] == 3  # refused is not sent: no harm


async def test_a_server_that_speaks_no_tls_is_told_in_its_words(tmp_path: Path) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"no TLS here\n" * 9)
        await writer.drain()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as plain:
        url = f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}"
        async with await Client.connect(kubeconfig(tmp_path, url)) as client:
            with pytest.raises(Unreachable, match=r"cannot be reached: .*SSL"):
                await client.create(CONFIG_MAPS, MAP)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ECONNRESET, ""), "Connection reset by peer"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not"),
        (aiohttp.ServerDisconnectedError(), "Server disconnected"),
        (OSError(), "OSError"),
    ],
)
def test_why_a_server_is_away(error: Exception, words: str) -> None:
    assert words in transport.why(error)


async def test_time_runs_out(script: Script, client: Client) -> None:
    class Slow(web.Response):
        async def prepare(self, request: web.BaseRequest) -> None:
            await asyncio.Event().wait()

    script.answers = [lambda _: Slow()]
    with pytest.raises(Unreachable, match="no answer in time"):
        await client.get(CONFIG_MAPS, "a", "ns", timeout=0.05)
    assert len(script.asked) == 1


async def test_a_list_comes_whole_even_if_its_pages_expire(script: Script, client: Client) -> None:
    def page(name: str, token: str = "") -> web.Response:
        metadata = {"resourceVersion": "5", "continue": token}
        return ok({"metadata": metadata, "items": [{"metadata": {"name": name}}]})

    script.answers = [page("a", "more"), page("b")]
    found = await client.list(CONFIG_MAPS, "ns", labelSelector="app in (x, y)")
    assert [obj["metadata"]["name"] for obj in found.items] == ["a", "b"]
    assert found.resource_version == "5"
    second = script.asked[1][0].query
    assert (second["continue"], second["labelSelector"]) == ("more", "app in (x, y)")
    script.answers = [page("a", "more"), refusal(410, "Expired"), page("whole")]
    found = await client.list(CONFIG_MAPS, "ns")
    assert [obj["metadata"]["name"] for obj in found.items] == ["whole"]
    assert not script.asked[-1][0].query


async def test_a_replaced_token_is_used(
    script: Script, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    script.answers = [refusal(401, "Unauthorized"), ok()]
    path = kubeconfig(tmp_path, url, {"tokenFile": str(token)})
    async with await Client.connect(path) as client:
        token.write_text("new")
        monkeypatch.setattr(transport, "_RELOAD_REFUSED", -1.0)
        await client.create(CONFIG_MAPS, MAP)
        assert [r.headers["Authorization"] for r, _ in script.asked] == [
            "Bearer old",
            "Bearer new",
        ]
        monkeypatch.setattr(transport, "_RELOAD", -1.0)
        token.write_text("newest")
        await client.get(CONFIG_MAPS, "a", "ns")
        assert script.asked[-1][0].headers["Authorization"] == "Bearer newest"


async def test_credentials_that_cannot_be_read_for_a_moment_do_no_harm(
    script: Script, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("good")
    script.answers = [ok()]
    path = kubeconfig(tmp_path, url, {"tokenFile": str(token)})
    async with await Client.connect(path) as client:
        token.unlink()
        monkeypatch.setattr(transport, "_RELOAD", -1.0)
        await client.get(CONFIG_MAPS, "a", "ns")
    assert script.asked[0][0].headers["Authorization"] == "Bearer good"


async def test_wrong_credentials_do_not_double_the_requests(script: Script, client: Client) -> None:
    script.answers = [refusal(401, "Unauthorized")]
    for _ in range(2):
        with pytest.raises(Unauthorized):
            await client.get(CONFIG_MAPS, "a", "ns")
    assert len(script.asked) == 2


async def test_a_missing_or_broken_kubeconfig_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no kubeconfig at /no/such"):
        await Client.connect(Path("/no/such"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="absent"):
        await Client.connect()
    odd = tmp_path / "odd"
    odd.write_text("{]")
    with pytest.raises(ConfigError, match="cannot use the Kubernetes configuration"):
        await Client.connect(odd)
    with pytest.raises(ConfigError, match="nowhere"):
        await Client.connect(kubeconfig(tmp_path, "http://127.0.0.1:9"), "nowhere")


async def test_kubeconfig_of_the_environment(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{kubeconfig(tmp_path, url)}")
    async with await Client.connect() as client:
        assert client.host == url


async def test_an_exec_plugin_gives_the_token(script: Script, url: str, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "by-plugin"},
    }
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    plugin.chmod(0o700)
    user = {"exec": {"apiVersion": credential["apiVersion"], "command": str(plugin)}}
    script.answers = [ok()]
    async with await Client.connect(kubeconfig(tmp_path, url, user)) as client:
        await client.get(CONFIG_MAPS, "a", "ns")
    assert script.asked[0][0].headers["Authorization"] == "Bearer by-plugin"


async def test_in_a_pod_the_service_account_is_used_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first")
    authority.write_text("a certificate")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setattr(config, "SERVICE_TOKEN_FILENAME", str(token))
    found = await config.load_config()
    assert found.host == "https://[fd00::1]:443"
    assert found.authorization == "bearer first"
    token.write_text("second")
    await found.reload()
    assert found.authorization == "bearer second"
    assert found.tls_files() == (b"a certificate",)
