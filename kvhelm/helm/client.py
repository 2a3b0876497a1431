"""The verbs that change a release, each one helm process; a few at a time."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from kvhelm.api.conditions import Reason
from kvhelm.helm.chart import Chart
from kvhelm.helm.errors import HelmFailed
from kvhelm.helm.origin import rollback_description
from kvhelm.helm.process import GRACE, HelmProcess
from kvhelm.helm.releases import Stamp

OLDEST_HELM = (4, 0)
"""Server-side apply with --force-conflicts came with helm 4."""


@dataclass
class Helm:
    """Runs helm. Every method raises HelmFailed with its cause told apart.

    The verbs are for whoever holds one of `slots`: what there is to do may have changed while
    waiting for one, so the caller looks again in between. `processes` run at a time (measured: 4
    on 2 cores; 8 are no faster); `deadline` is in seconds and holds without us; `observe` is told
    verb, outcome and seconds of every process.
    """

    executable: str = "helm"
    processes: int = 4
    deadline: float = 120
    environment: Mapping[str, str] = field(default_factory=dict)
    observe: Callable[[str, str, float], None] = lambda verb, outcome, seconds: None

    def __post_init__(self) -> None:
        """Make the guard that every process goes through."""
        self._process = HelmProcess(self.executable, self.deadline, self.environment)
        self.slots = asyncio.Semaphore(self.processes)
        self._usable = False

    @property
    def gone_after(self) -> float:
        """Seconds after a write of helm from which on no process of ours can be behind it.

        Twice the grace: clocks of machines differ a little.
        """
        return self.deadline + 2 * GRACE

    async def ensure_usable(self) -> str:
        """Return helm's version. Raises HelmFailed when helm is missing, broken or too old."""
        printed = (await self._process.run(["version", "--template", "{{.Version}}"])).decode()
        found = re.match(r"v(\d+)\.(\d+)", printed)
        if not found or (int(found[1]), int(found[2])) < OLDEST_HELM:
            raise HelmFailed(
                f"helm is too old: {self.executable} is {printed.strip() or 'of no known version'},"
                " kvhelm needs helm 4 or newer",
                Reason.HELM_UNUSABLE,
                transient=True,
            )
        self._usable = True
        return printed.strip()

    async def upgrade(
        self,
        release: str,
        namespace: str,
        chart: Chart,
        values: Mapping[str, Any],
        *,
        revision: int,
        stamp: Stamp,
    ) -> None:
        """Install the release, or make its next revision, which will have the number `revision`.

        It does not wait for pods: readiness comes from watches.
        """
        labels = ",".join(f"{key}={value}" for key, value in stamp.labels(revision).items())
        await self._run(
            [
                *("upgrade", release, str(chart.path), "--install", "--namespace", namespace),
                *("--values", "-", "--reset-values", "--labels", labels),
                # helm's own pruning takes the last healthy revision away: the controller prunes.
                *("--history-max", "0"),
                *("--server-side=true", "--force-conflicts"),
                # The API server validates every field all the same; this halves helm's CPU time.
                "--disable-openapi-validation",
                # Checked by the API server and by the models: a tenth of helm's CPU to do it again.
                *(["--skip-schema-validation"] if chart.own else []),
            ],
            json.dumps(values).encode(),
        )

    async def rollback(self, release: str, namespace: str, to: int, why: str) -> None:
        """Make the next revision, a copy of revision `to`.

        Its labels are those of `to`; its description says that it is ours, and why.
        """
        await self._run(
            [
                *("rollback", release, str(to), "--namespace", namespace),
                *("--description", rollback_description(to, why)),
                *("--history-max", "0"),
                *("--server-side=true", "--force-conflicts"),
            ]
        )

    async def uninstall(self, release: str, namespace: str) -> None:
        """Uninstall the release with its history; one that is not there is no error."""
        await self._run(
            ["uninstall", release, "--namespace", namespace, "--ignore-not-found", "--no-hooks"]
        )

    async def _run(self, command: list[str], stdin: bytes | None = None) -> None:
        if not self._usable:
            await self.ensure_usable()
        begun = monotonic()
        outcome = "failed"
        try:
            await self._process.run(command, stdin)
            outcome = "succeeded"
        except HelmFailed as error:
            outcome = error.reason
            if error.reason is Reason.HELM_UNUSABLE:
                self._usable = False
            raise
        finally:
            self.observe(command[0], outcome, monotonic() - begun)
