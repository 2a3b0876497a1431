"""Keeps who may move to a new chart now, and says in one place how far the whole is."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from kvhelm.controller.pool import PoolKey
from kvhelm.controller.waves import Place, Plan, Standing, State, Waves, plan_for
from kvhelm.errors import KubeError
from kvhelm.helm.chart import Chart
from kvhelm.kube.client import Client
from kvhelm.kube.errors import NotFound, Unreachable
from kvhelm.kube.resource import CONFIG_MAPS, Object

log = logging.getLogger(__name__)

_TELL_EVERY = 1.0
"""Seconds between two writes of the ConfigMap."""

_RETRY_EVERY = 30.0
"""Seconds until a write that failed is tried again."""


class Rollout:
    """The waves of one operator's chart. `changed` is told the keys of pools whose turn it is."""

    def __init__(
        self,
        waves: Waves,
        chart: Chart,
        count: Callable[[], int],
        changed: Callable[[Iterable[PoolKey]], None],
    ) -> None:
        """Begin with nobody admitted: before all pools (`count`) were seen none knows the waves."""
        self.plan = Plan()
        """Who may move now, and the counts."""
        self._waves = waves
        self._chart = chart
        self._count = count
        self._changed = changed
        self._places: dict[PoolKey, Place] = {}
        self._all_seen = False
        self._news = asyncio.Event()

    def admits(self, key: PoolKey) -> bool:
        """Tell whether a pool that waits may move now; one that does not wait is never stopped."""
        place = self._places.get(key)
        waits = place is None or place.standing in (Standing.WAITING, Standing.UNREADY)
        return not waits or key in self.plan.admitted

    def seen(self, key: PoolKey, place: Place | None) -> None:
        """Follow a pool; None when it is gone."""
        if self._places.get(key) == place:
            return
        if place is None:
            del self._places[key]
        else:
            self._places[key] = place
        if not self._all_seen:
            self._all_seen = len(self._places) >= self._count()
        if self._all_seen:
            self._replan()

    def _replan(self) -> None:
        before = self.plan
        self.plan = plan_for(self._places, self._waves, before.admitted, self._chart.digest)
        if self.plan != before:
            self._news.set()
        if self.plan.state is State.HALTED and before.state is not State.HALTED:
            log.warning("%s", message_for(self.plan, self._chart.reference))
        self._changed(self.plan.admitted - before.admitted)

    async def tell(self, client: Client, namespace: str, name: str) -> None:
        """Keep a ConfigMap that says how far the chart is, for as long as we lead."""
        told: Object | None = None
        while True:
            await self._news.wait()
            self._news.clear()
            data = data_for(self.plan, self._chart.reference)
            try:
                if told is None:
                    told = await _known(client, namespace, name)
                if data != told:
                    body = {"metadata": {"name": name}, "data": data}
                    await client.apply(
                        CONFIG_MAPS, body, namespace, field_manager="kvhelm", force=True
                    )
                    told = data
            except KubeError as error:
                # (That the API server is away is told by the transport, for all.)
                level = logging.DEBUG if isinstance(error, Unreachable) else logging.WARNING
                log.log(level, "the ConfigMap %s/%s can't be written: %s", namespace, name, error)
                self._news.set()
                await asyncio.sleep(_RETRY_EVERY)
            await asyncio.sleep(_TELL_EVERY)


async def _known(client: Client, namespace: str, name: str) -> Object:
    """Return what an operator before us told."""
    try:
        return dict((await client.get(CONFIG_MAPS, name, namespace)).get("data") or {})
    except NotFound:
        return {}


def message_for(plan: Plan, chart: str) -> str:
    """Return a sentence on how far a chart is."""
    counts = plan.counts
    left = counts.get(Standing.WAITING, 0) + counts.get(Standing.UNREADY, 0)
    named = ", ".join(str(key) for key in plan.failed[:5])
    more = f" and {len(plan.failed) - 5} more" if len(plan.failed) > 5 else ""
    match plan.state:
        case State.HALTED:
            return (
                f"{chart} stops here: it failed at {named}{more}, and {_pools(left)} keep what "
                "they have. Look at the conditions there; bring a better chart, or take the failed "
                "pools out (change their spec, pin them by spec.rollbackTo, or suspend them)"
            )
        case State.PROGRESSING:
            wave = f"wave {plan.wave} of {plan.waves}" if plan.wave else "the last pools"
            moving = counts.get(Standing.MOVING, 0) + len(plan.admitted)
            if not moving:
                return f"{_pools(left)} keep what they have: the settings let no more of them move"
            return f"{chart}: {wave}; {_pools(moving)} on the way, {left - len(plan.admitted)} wait"
    failed = f"; it failed at {named}{more}" if named else ""
    return f"{chart} has come to all pools that may have it{failed}"


def data_for(plan: Plan, chart: str) -> dict[str, str]:
    """Return the data of the ConfigMap."""
    counts = {each.value.lower(): str(plan.counts.get(each, 0)) for each in Standing}
    return {
        "chart": chart,
        "state": plan.state.value,
        "wave": f"{plan.wave}/{plan.waves}",
        "message": message_for(plan, chart),
        **counts,
    }


def _pools(count: int) -> str:
    return "1 pool" if count == 1 else f"{count} pools"
