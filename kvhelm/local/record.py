"""What is remembered of a cluster between commands: one small JSON file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from kvhelm.errors import LocalError
from kvhelm.local.parts import Ports
from kvhelm.local.processes import Process


@dataclass(frozen=True)
class OperatorProcess:
    """A `kvhelm run` that watches the cluster, started beside it."""

    process: Process
    build: str  # of the kvhelm that it runs
    port: int | None = None  # of its HTTP endpoints; None until it is ready


@dataclass(frozen=True)
class Record:
    """Ports, processes by part, and what the cluster was asked for."""

    ports: Ports
    api_server_args: tuple[str, ...] = ()
    processes: Mapping[str, Process] = field(default_factory=dict)
    populated: bool = False  # the default nodes were made once: who deletes one means it
    real_nodes: int = 0  # said once, when the cluster is new
    operators: Mapping[str, OperatorProcess] = field(default_factory=dict)  # by Helm release


_ADAPTER = TypeAdapter(Record)


def read(path: Path) -> Record | None:
    """Return the record, None if there is none. Raises LocalError for a broken one."""
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise LocalError(
            f"{path} can't be read ({error.error_count()} errors): it was changed by hand, or by "
            "another version of kvhelm. Stop its processes and delete its folder."
        ) from None


def write(path: Path, record: Record) -> None:
    """Write the record at once: a reader sees the old one or the new one."""
    part = path.with_suffix(".part")
    part.write_bytes(_ADAPTER.dump_json(record, indent=2))
    part.replace(path)
