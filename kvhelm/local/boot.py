"""Starting and stopping a cluster's processes: in order, together where possible, or not at all."""

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from kvhelm.errors import LocalError
from kvhelm.local import nodes as fake
from kvhelm.local import record as records
from kvhelm.local.api import Api
from kvhelm.local.certificates import ensure_certificates
from kvhelm.local.parts import (
    API_SERVER,
    CONTROLLER_MANAGER,
    ETCD,
    HOST,
    KWOK,
    SCHEDULER,
    SERVICE_IP,
    Paths,
    Ports,
    commands,
    kubeconfig_for,
)
from kvhelm.local.processes import Process, alive, spawn, stop
from kvhelm.local.realnode.nodes import KEEPER, RealNodes, ensure_objects, identities_for
from kvhelm.local.record import Record
from kvhelm.local.tools import Tools

# Seconds. A part that is not there by then never will be, even on a slow and busy machine.
_READY = 120.0
# A clean stop takes less than a second; then the process is made to end.
_GRACE = 15.0
_POLL = 0.05
_TAIL = 20
# Between looking for a free port and binding it somebody else may take it.
_ATTEMPTS = 4


class PortTaken(LocalError):
    """A part could not bind its port."""


def boot(
    name: str,
    paths: Paths,
    tools: Tools,
    record: Record | None,
    api_server_args: Sequence[str] | None,
    real: RealNodes | None = None,
) -> Record:
    """Stop what is left of the cluster, start all of it, and return once its API is ready.

    `real`: the real nodes that it shall have. Ports of the last time are taken again where they
    are free. Raises LocalError naming the part that failed, its log and the log's tail; nothing is
    left running then.
    """
    if record is not None:
        record = halt(paths, record)
    previous = record.api_server_args if record is not None else ()
    arguments = previous if api_server_args is None else tuple(api_server_args)
    ports = record.ports if record is not None and _all_free(record.ports) else free_ports()
    populated = record is not None and record.populated
    _prepare(paths, tools, real)
    attempt = 1
    while True:
        fresh = Record(ports, arguments, {}, populated, real.count if real else 0)
        records.write(paths.record, fresh)
        _write_kubeconfigs(name, paths, ports)
        if real:
            real.write(ports.api_server)
        try:
            return _start(paths, tools, fresh, real)
        except PortTaken:
            if attempt == _ATTEMPTS:
                raise
            attempt += 1
            ports = free_ports()
        except BaseException:
            # Flags that don't work are not those of the last time.
            records.write(paths.record, replace(fresh, api_server_args=previous))
            raise


def halt(paths: Paths, record: Record) -> Record:
    """Stop every process, the clients before their servers; return once all have gone."""
    running = record.processes
    stop([operator.process for operator in record.operators.values()], _GRACE)
    for together in ((KEEPER,), (KWOK, SCHEDULER, CONTROLLER_MANAGER), (API_SERVER,), (ETCD,)):
        stop([running[part] for part in together if part in running], _GRACE)
    halted = replace(record, processes={}, operators={})
    records.write(paths.record, halted)
    return halted


def wait_until(
    condition: Callable[[], bool],
    timeout: float,
    paths: Paths,
    processes: Mapping[str, Process],
    complaint: str,
) -> None:
    """Wait for a condition of the cluster, at most `timeout` seconds.

    Raises LocalError with a log's tail as soon as one of the processes dies, or with the complaint.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        for part, process in processes.items():
            if not alive(process):
                raise _failure(part, "died", paths.log_of(part), 0)
        if time.monotonic() > deadline:
            raise LocalError(f"{complaint} within {timeout:.0f} s (logs: {paths.logs})")
        time.sleep(_POLL)


def free_ports() -> Ports:
    """Return ports of 127.0.0.1 that nobody has right now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in Ports.__dataclass_fields__]
        for each in sockets:
            each.bind((HOST, 0))
        return Ports(*(each.getsockname()[1] for each in sockets))


def _all_free(ports: Ports) -> bool:
    with ExitStack() as stack:
        for port in ports.all:
            each = stack.enter_context(socket.socket())
            # Connections of the last time may still linger; a listener is what matters.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                each.bind((HOST, port))
            except OSError:
                return False
    return True


def _prepare(paths: Paths, tools: Tools, real: RealNodes | None) -> None:
    paths.directory.mkdir(parents=True, exist_ok=True)
    paths.directory.chmod(0o700)
    for folder in (paths.logs, paths.bin):
        folder.mkdir(exist_ok=True)
    paths.etcd_data.mkdir(mode=0o700, exist_ok=True)
    for program in (tools.kubectl, tools.helm):
        link = paths.bin / program.name
        link.unlink(missing_ok=True)
        link.symlink_to(program)
    identities = identities_for(real.all if real else ())
    ensure_certificates(paths.certificates.directory, SERVICE_IP, identities)


def _write_kubeconfigs(name: str, paths: Paths, ports: Ports) -> None:
    files = {paths.kubeconfig_of(part): part for part in (CONTROLLER_MANAGER, SCHEDULER, KWOK)}
    for file, user in {paths.kubeconfig: "admin", **files}.items():
        file.write_text(kubeconfig_for(user, name, ports, paths.certificates))
        file.chmod(0o600)


def _start(paths: Paths, tools: Tools, record: Record, real: RealNodes | None) -> Record:
    """Start all parts. Whatever happens on the way, either all run at the end or none does."""
    arguments = commands(tools, paths, record.ports, record.api_server_args)
    if real:
        arguments[API_SERVER] += real.api_server_flags
        arguments[CONTROLLER_MANAGER] += real.controller_manager_flags
        arguments[KEEPER] = real.keeper
    starter = _Starter(paths, arguments, record)
    try:
        ports, certificates = record.ports, paths.certificates
        api = Api(certificates, ports.api_server)
        starter.start(ETCD)
        starter.wait(ETCD, lambda: _listens(ports.etcd))
        starter.start(API_SERVER)
        # Only now: clients that come before the bootstrap roles are refused, and back off.
        starter.wait(API_SERVER, lambda: api.healthy("/readyz"))
        starter.start(CONTROLLER_MANAGER)
        starter.start(SCHEDULER)
        _grant_kwok(api)
        starter.start(KWOK)
        if real:
            ensure_objects(api)
            starter.start(KEEPER)
        else:
            api.create("/apis/storage.k8s.io/v1/storageclasses", fake.STORAGE_CLASS)
        manager = Api(certificates, ports.controller_manager)
        starter.wait(CONTROLLER_MANAGER, lambda: manager.healthy("/healthz"))
        scheduler = Api(certificates, ports.scheduler)
        starter.wait(SCHEDULER, lambda: scheduler.healthy("/healthz"))
        return starter.record
    except BaseException:
        halt(paths, starter.record)
        raise


class _Starter:
    """The parts started so far; each is on record before the next one starts."""

    def __init__(
        self, paths: Paths, arguments: Mapping[str, Sequence[str | Path]], record: Record
    ) -> None:
        self.record = record
        self._paths = paths
        self._commands = arguments
        self._offsets: dict[str, int] = {}

    def start(self, part: str) -> None:
        log = self._paths.log_of(part)
        self._offsets[part] = log.stat().st_size if log.exists() else 0
        try:
            process = spawn(self._commands[part], log, _environment())
        except OSError as error:
            raise LocalError(f"{part} can't be executed: {error}") from error
        self.record = replace(self.record, processes={**self.record.processes, part: process})
        records.write(self._paths.record, self.record)

    def wait(self, awaited: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY
        while not condition():
            for part, process in self.record.processes.items():
                if not alive(process):
                    raise self._failure(part, "did not start")
            if time.monotonic() > deadline:
                raise self._failure(awaited, f"was not ready within {_READY:.0f} s")
            time.sleep(_POLL)

    def _failure(self, part: str, complaint: str) -> LocalError:
        return _failure(part, complaint, self._paths.log_of(part), self._offsets[part])


def _failure(part: str, complaint: str, log: Path, offset: int) -> LocalError:
    with log.open("rb") as file:
        file.seek(offset)
        said = file.read().decode(errors="replace")
    tail = "\n".join(f"  {line}" for line in said.splitlines()[-_TAIL:])
    kind = PortTaken if "address already in use" in said else LocalError
    return kind(f"{part} {complaint}; {log} ends with:\n{tail}")


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _grant_kwok(api: Api) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    api.create(f"{rbac}/clusterroles", fake.KWOK_ROLE)
    api.create(f"{rbac}/clusterrolebindings", fake.KWOK_BINDING)


def _environment() -> dict[str, str]:
    """Give the parts no variable that would configure them: etcd refuses what its flags say too."""
    kept = {
        name: os.environ[name] for name in ("HOME", "PATH", "TZ", "TMPDIR") if name in os.environ
    }
    # Memory for CPU: on a small machine the parts share their cores with what is tried on them.
    return kept | {"GOGC": "400", "GOMEMLIMIT": "1GiB"}
