"""Bring your own etcd: what preflight finds out before anything is installed."""

import asyncio
import socket
from pathlib import Path

import pytest
from aetcd import rpc

from kvhelm.local.certificates import ensure_certificates
from kvhelm.metadata.etcd.preflight import MANY_REVISIONS
from kvhelm.metadata.findings import Finding, Reason
from kvhelm.metadata.service import MetadataService
from tests.dataplane.conftest import Service, StartEtcd, StartRedis
from tests.dataplane.install import ensure_installed
from tests.dataplane.parts import PATIENCE, Etcd, Part, etcd_members, free_port, until
from tests.dataplane.words import no_answer_leaks

PREFIX, UID = "/team/pool", "uid-of-mine"


async def found(service: MetadataService) -> set[Reason]:
    return {each.reason for each in await service.preflight(PREFIX, UID)}


async def test_a_good_etcd_has_nothing_wrong(start_etcd: StartEtcd, service: Service) -> None:
    (etcd,) = await start_etcd()
    assert await service("etcd", etcd.url).preflight(PREFIX, UID) == ()


async def test_a_cluster_of_three_with_one_member_down_is_a_warning(
    start_etcd: StartEtcd, service: Service
) -> None:
    cluster = await start_etcd(3)
    three = service("etcd", *(member.url for member in cluster))
    assert await three.preflight(PREFIX, UID) == ()
    cluster[0].kill()
    findings = await until(lambda: only_warnings(three))
    assert {each.reason for each in findings} == {Reason.ENDPOINT_DOWN, Reason.MEMBER_DOWN}
    assert cluster[0].url in "".join(each.message for each in findings)


async def only_warnings(service: MetadataService) -> tuple[Finding, ...]:
    """Preflight once an election is over."""
    findings = await service.preflight(PREFIX, UID)
    return () if any(each.blocks for each in findings) else findings


async def test_a_cluster_without_a_majority_has_no_leader(
    start_etcd: StartEtcd, service: Service
) -> None:
    cluster = await start_etcd(3)
    cluster[0].kill()
    cluster[1].kill()
    last = service("etcd", cluster[2].url)
    findings = await until(lambda: without_leader(last))
    assert Reason.NO_LEADER in {each.reason for each in findings if each.blocks}
    probe = await last.probe()
    assert probe.finding is not None


async def without_leader(service: MetadataService) -> tuple[Finding, ...]:
    findings = await service.preflight(PREFIX, UID)
    return findings if Reason.NO_LEADER in {each.reason for each in findings} else ()


async def test_nothing_runs_there(service: Service) -> None:
    nowhere = service("etcd", f"http://127.0.0.1:{free_port()}")
    assert await found(nowhere) == {Reason.UNREACHABLE}


async def test_an_etcd_that_advertises_localhost(start_etcd: StartEtcd, service: Service) -> None:
    (etcd,) = await start_etcd(advertise=["http://localhost:2379"])
    elsewhere = service("etcd", f"http://127.0.0.2:{etcd.port}")
    findings = await elsewhere.preflight(PREFIX, UID)
    assert [each.reason for each in findings] == [Reason.ADVERTISED_LOOPBACK]
    assert "--advertise-client-urls" in findings[0].message
    no_answer_leaks(findings, "localhost")


async def test_an_etcd_that_advertises_an_address_where_nothing_answers(
    start_etcd: StartEtcd, service: Service
) -> None:
    (etcd,) = await start_etcd(advertise=[f"http://127.0.0.1:{free_port()}"])
    assert await found(service("etcd", etcd.url)) == {Reason.ADVERTISED_UNREACHABLE}


async def test_an_etcd_that_advertises_another_etcd(
    start_etcd: StartEtcd, service: Service
) -> None:
    (other,) = await start_etcd()
    (etcd,) = await start_etcd(advertise=[other.url])
    assert await found(service("etcd", etcd.url)) == {Reason.ADVERTISED_ELSEWHERE}


async def test_an_etcd_that_advertises_tls(start_etcd: StartEtcd, service: Service) -> None:
    (etcd,) = await start_etcd(advertise=["https://127.0.0.1:2379"])
    assert await found(service("etcd", etcd.url)) == {Reason.ADVERTISED_TLS}


async def test_an_etcd_that_advertises_what_may_not_be_dialled(
    start_etcd: StartEtcd, service: Service
) -> None:
    (etcd,) = await start_etcd(advertise=["http://169.254.169.254:80"])
    findings = await service("etcd", etcd.url).preflight(PREFIX, UID)
    assert {each.reason for each in findings} == {Reason.DIAL_NOT_ALLOWED}
    no_answer_leaks(findings, "169.254")


async def test_an_etcd_with_tls(
    start_etcd: StartEtcd, service: Service, parts: list[Part], tmp_path: Path
) -> None:
    files = ensure_certificates(tmp_path / "tls", "10.0.0.1")
    etcd = tls_etcd(tmp_path, files.certificate("etcd"), files.key("etcd"))
    parts.append(etcd)
    etcd.start()
    endpoint = service("etcd", etcd.url)
    assert await until(lambda: tls_found(endpoint))
    probe = await endpoint.probe()
    assert probe.finding and probe.finding.reason is Reason.TLS_REQUIRED


def tls_etcd(folder: Path, certificate: Path, key: Path) -> Etcd:
    (etcd,) = etcd_members(
        folder / "secure", more=[f"--cert-file={certificate}", f"--key-file={key}"]
    )
    etcd.arguments = [
        str(each).replace("http://", "https://") if "client-urls" in str(each) else each
        for each in etcd.arguments
    ]
    return etcd


async def tls_found(service: MetadataService) -> bool:
    return await found(service) == {Reason.TLS_REQUIRED}


async def test_an_etcd_with_authentication(start_etcd: StartEtcd, service: Service) -> None:
    (etcd,) = await start_etcd()
    channel = rpc.insecure_channel(f"127.0.0.1:{etcd.port}")
    auth = rpc.AuthStub(channel)
    await auth.UserAdd(rpc.AuthUserAddRequest(name="root", password="secret"))
    await auth.RoleAdd(rpc.AuthRoleAddRequest(name="root"))
    await auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="root", role="root"))
    await auth.AuthEnable(rpc.AuthEnableRequest())
    await channel.close()
    guarded = service("etcd", etcd.url)
    assert await found(guarded) == {Reason.AUTH_REQUIRED}
    probe = await guarded.probe()
    assert probe.finding and probe.finding.reason is Reason.AUTH_REQUIRED


async def test_an_etcd_without_space(start_etcd: StartEtcd, service: Service) -> None:
    (etcd,) = await start_etcd(more=["--quota-backend-bytes=200000"])
    channel = rpc.insecure_channel(f"127.0.0.1:{etcd.port}")
    kv = rpc.KVStub(channel)
    # The quota is compared with what is on disk, and that grows some 100 ms later.
    with pytest.raises(rpc.AioRpcError):
        async with asyncio.timeout(PATIENCE):
            while True:
                await kv.Put(rpc.PutRequest(key=b"/fill", value=bytes(20_000)))
    await channel.close()
    full = service("etcd", etcd.url)
    assert {Reason.NO_SPACE, Reason.QUOTA_NEARLY_USED} <= await found(full)
    probe = await full.probe()
    assert probe.finding and probe.finding.reason is Reason.NO_SPACE


async def test_an_etcd_that_nobody_compacts_is_a_warning(
    start_etcd: StartEtcd, service: Service
) -> None:
    (etcd,) = await start_etcd()
    channel = rpc.insecure_channel(f"127.0.0.1:{etcd.port}")
    kv = rpc.KVStub(channel)
    # Each Put of a transaction is a sub-revision of one: separate requests, many at a time.
    put = rpc.PutRequest(key=b"/busy", value=b"")
    for _ in range(MANY_REVISIONS // 200):
        await asyncio.gather(*(kv.Put(put) for _ in range(200)))
    grown = service("etcd", etcd.url)
    assert await found(grown) == {Reason.AUTO_COMPACTION_OFF}
    assert not Reason.AUTO_COMPACTION_OFF.blocks
    await kv.Compact(rpc.CompactionRequest(revision=MANY_REVISIONS // 2))
    await channel.close()
    # Asked anew: a service takes what it found of its cluster for granted for some seconds.
    assert await found(service("etcd", etcd.url)) == set()


async def test_endpoints_of_two_clusters(start_etcd: StartEtcd, service: Service) -> None:
    (one,) = await start_etcd()
    (other,) = await start_etcd()
    both = service("etcd", one.url, other.url)
    assert await found(both) == {Reason.MEMBERS_DISAGREE}
    probe = await both.probe()
    assert probe.finding and probe.finding.reason is Reason.MEMBERS_DISAGREE


async def test_what_answers_is_no_etcd(service: Service, start_redis: StartRedis) -> None:
    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 418 Secret teapot\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(http, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    findings = await service("etcd", f"http://127.0.0.1:{port}").preflight(PREFIX, UID)
    server.close()
    assert [each.reason for each in findings] == [Reason.NOT_ETCD]
    no_answer_leaks(findings, "teapot")
    redis = await start_redis()
    at_redis = service("etcd", redis.url.replace("redis://", "http://"))
    assert await found(at_redis) == {Reason.NOT_ETCD}


async def test_a_host_that_takes_connections_and_says_nothing(service: Service) -> None:
    # The kernel accepts for a listener that never does.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mute = service("etcd", f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert await found(mute) == {Reason.STALLED}


async def test_an_etcd_of_the_year_2021_is_fine(start_etcd: StartEtcd, service: Service) -> None:
    """etcd 3.5.1, which vineyard's own package brings."""
    (etcd,) = await start_etcd(program=ensure_installed().old_etcd)
    old = service("etcd", etcd.url)
    assert await old.preflight(PREFIX, UID) == ()
    assert (await old.probe()).version == "3.5.1"
