"""One helm process: started without a shell, bound to its parent's life and to a deadline."""

import asyncio
import os
import shutil
import signal
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress

from pyhelm3.command import Command

from kvhelm.api.conditions import Reason
from kvhelm.helm.errors import HelmFailed, classify

GRACE = 10
"""Seconds between TERM and KILL of a helm that does not end."""

_TIMED_OUT = frozenset({124, 137})
"""Exit codes of timeout(1): the deadline passed, or KILL was needed."""


class HelmProcess(Command):  # type: ignore[misc]  # pyhelm3 has no types
    """pyhelm3's command with a `run` that keeps its promises.

    pyhelm3's own `run` goes through a shell, leaves helm running when it is cancelled, has no
    deadline, and logs its arguments. Here helm gets an argument list and its values on standard
    input; setpriv(1) sends it TERM when this process dies, and timeout(1) holds its deadline
    without any help of ours: a controller that was killed or stopped leaves no helm behind.
    """

    def __init__(self, executable: str, deadline: float, environment: Mapping[str, str]) -> None:
        super().__init__(executable=executable)
        self._guard = [
            *("setpriv", "--pdeathsig", "TERM"),
            *("timeout", f"--kill-after={GRACE}", f"{deadline:.0f}"),
        ]
        self._deadline = deadline
        self._environment = {
            # A short-lived process gains nothing from collecting garbage early (measured: 0.11 s
            # of CPU become 0.09).
            "GOGC": "400",
            **{
                name: value
                for name, value in os.environ.items()
                if name in {"PATH", "HOME", "KUBECONFIG", "TMPDIR", "HTTPS_PROXY", "NO_PROXY"}
                or name.startswith(("KUBERNETES_SERVICE_", "HELM_", "XDG_"))
            },
            **environment,
        }

    async def run(self, command: Sequence[str], input: bytes | None = None) -> bytes:
        """Run `helm COMMAND...` and return what it printed.

        Cancelling waits for helm to end after a TERM. Raises HelmFailed with helm's own words.
        """
        executable = shutil.which(self._executable)
        if executable is None:
            raise HelmFailed(
                f"helm is not there: {self._executable!r} is no executable on PATH; "
                "install helm 4 or name one with --helm",
                Reason.HELM_UNUSABLE,
                transient=True,
            )
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *self._guard,
                executable,
                *command,
                stdin=asyncio.subprocess.PIPE if input is not None else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment,
                start_new_session=True,
            )
        )
        try:
            # Cancelled in the middle of a start, asyncio kills timeout(1), and waits for ever for
            # helm, which lives on and holds the pipes: the start is seen to its end instead.
            process = await asyncio.shield(starting)
            stdout, stderr = await process.communicate(input)
        except asyncio.CancelledError:
            await _end(await starting)
            raise
        if process.returncode in _TIMED_OUT:
            raise HelmFailed(
                f"helm {command[0]} did not end within {self._deadline:.0f} s",
                Reason.DEADLINE_EXCEEDED,
                transient=True,
            )
        if process.returncode != 0:
            raise classify(stderr.decode(errors="replace"))
        return bytes(stdout)


async def _end(process: Process) -> None:
    """End helm: TERM to its whole group, KILL after the grace; return when all of it has gone.

    To the group, and not to timeout(1) alone: whoever outlived it would hold our pipes for ever.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            # asyncio: returns once the process has ended and nobody holds its pipes.
            await asyncio.wait_for(process.wait(), GRACE)
            return
