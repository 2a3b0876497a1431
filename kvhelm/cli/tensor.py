"""What the demo ends with on real nodes: one engine puts a tensor, another one gets it."""

import json
from collections.abc import Callable

from rich.console import Console

from kvhelm.local.realnode.client import engine_for
from kvhelm.local.realnode.nodes import nodes_of
from kvhelm.values import release_name

Run = Callable[..., str]

# The warning is of vineyard's client itself.
_BEGIN = "import warnings\nwarnings.simplefilter('ignore')\nimport numpy, vineyard\n"
_PUT = """client = vineyard.connect()  # by $VINEYARD_IPC_SOCKET: shared memory
key = client.put(numpy.arange(1_000_000, dtype="float32").reshape(1000, 1000))
client.persist(key)
print(repr(key))
"""
_GET = """client = vineyard.connect()  # by $VINEYARD_RPC_ENDPOINT: the network
tensor = client.get(vineyard.ObjectID("{key}"))
print(tensor.dtype, tensor.shape, "sum", tensor.sum(dtype="float64"))
"""


def show_tensor(console: Console, run: Run, pool: str, namespace: str) -> None:
    """Put a tensor into the pool on the node of its daemon, and get it on another node.

    `run` runs kubectl with arguments, and perhaps `stdin`. Raises LocalError with what failed.
    """
    release = release_name(pool)
    here = ("--namespace", namespace)
    daemon = "app.kubernetes.io/component=daemon,app.kubernetes.io/instance=" + release
    beside = run("kubectl", "get", "pods", *here, f"--selector={daemon}",
                 "--output=jsonpath={.items[0].spec.nodeName}")  # fmt: skip
    away = next(node.name for node in nodes_of(2) if node.name != beside)
    connection = f"{release}-connection"
    told = json.loads(run("kubectl", "get", "configmap", connection, *here, "--output=json"))
    pods = [
        engine_for(f"engine-on-{beside}", beside, connection, told["data"]["VINEYARD_HOST_PATH"]),
        engine_for(f"engine-on-{away}", away, connection, None),
    ]
    engines = json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
    run("kubectl", "apply", *here, "--filename=-", stdin=engines)
    names = [pod["metadata"]["name"] for pod in pods]
    wait = ("wait", *here, "--for=condition=Ready", "--timeout=60s")
    run("kubectl", *wait, *(f"pod/{name}" for name in names))

    def ask(engine: str, script: str) -> str:
        console.print(f"\n[bold]$ kubectl exec {engine} -- python3[/bold]")
        console.print(script.rstrip(), style="cyan", markup=False)
        command = ("kubectl", "exec", *here, "--stdin", engine, "--", "python3", "-")
        # The client says more than was asked for.
        answer = run(*command, stdin=_BEGIN + script).strip().splitlines()[-1]
        console.print(answer, markup=False)
        return answer

    console.print(f"\nAn engine on {beside} puts a tensor into the pool, one on {away} gets it:")
    key = ask(names[0], _PUT)
    ask(names[1], _GET.format(key=key))


__all__ = ["show_tensor"]
