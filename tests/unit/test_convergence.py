"""Whatever people do and wherever it is killed: the decisions come to an end, and to the right one.

Hypothesis makes up the stories. After each of them the pool must run what its spec asks for, or the
revision that it is pinned to, or say for good why not; and nothing more is done then.
"""

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from kvhelm.api.conditions import Reason
from kvhelm.api.status import FailedAttempt
from kvhelm.controller import steps
from kvhelm.controller.decide import decide
from kvhelm.controller.pool import Pool
from kvhelm.controller.report import status_for
from kvhelm.controller.rollback import goal_for
from kvhelm.controller.snapshot import Snapshot
from kvhelm.helm.origin import Origin, origin_of, rollback_description
from kvhelm.helm.releases import HEALTHY, Revision
from tests.unit.pools import pool
from tests.unit.world import Killed, Refused, World, later, policy_of, ready, stamp_for

SPECS = ("good", "better", "best", "bad", "worse-refused", "refused", "bad-again")
TERMINAL = {
    Reason.ROLLED_BACK,
    Reason.HELD_BY_HELM_ROLLBACK,
    Reason.REVISION_GONE,
    Reason.PROGRESS_DEADLINE_EXCEEDED,
    Reason.OBJECT_REFUSED,
}


class Story(RuleBasedStateMachine):
    """One pool, its operator, and those who interfere."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.spec, self.chart = "good", "chart-1"
        self.fields: dict[str, Any] = {"replicas": 1}
        self.status: dict[str, Any] = {}
        self.gone_back: Any = None
        self.turn = True
        self.start()

    def start(self) -> None:
        """Begin a new operator, which remembers nothing."""
        self.helm_ended = 0
        self.origin: Origin | None = None
        self.failed: FailedAttempt | None = None
        self.failed_known = False

    # What people do.

    @rule(spec=st.sampled_from(SPECS))
    def change(self, spec: str) -> None:
        self.spec, self.gone_back = spec, None

    @rule(spec=st.sampled_from(("good", "better", "best")))
    def change_and_see_it_done(self, spec: str) -> None:
        self.change(spec)
        self.work(12)

    @rule(replicas=st.integers(0, 3))
    def scale(self, replicas: int) -> None:
        self.fields["replicas"] = replicas

    @rule(suspend=st.booleans())
    def suspend(self, suspend: bool) -> None:
        self.fields["suspend"] = suspend

    @rule(keep=st.booleans(), history=st.integers(1, 4))
    def tune(self, keep: bool, history: int) -> None:
        self.fields["upgrade"] = {"onFailure": "Keep" if keep else "Rollback"}
        self.fields["revisionHistoryLimit"] = history

    @rule(revision=st.none() | st.integers(1, 6))
    def pin(self, revision: int | None) -> None:
        self.fields.pop("rollbackTo", None)
        if revision:
            self.gone_back = None
            self.fields["rollbackTo"] = {"revision": revision}

    @rule(chart=st.sampled_from(["chart-1", "chart-2"]))
    def new_operator(self, chart: str) -> None:
        if chart != self.chart:
            self.gone_back = None
        self.chart = chart
        self.start()

    @rule(turn=st.booleans())
    def wave(self, turn: bool) -> None:
        """Others get a new chart first, or it comes to this pool as well."""
        self.turn = turn

    @rule(spec=st.sampled_from(["good", "bad", "theirs"]), killed=st.none() | st.integers(1, 4))
    def helm_upgrade(self, spec: str, killed: int | None) -> None:
        if self.world.secrets and not self.locked:
            self.by_hand(killed, lambda: self.world.upgrade((spec, "x"), {}, "Upgrade complete"))

    @rule(data=st.data(), killed=st.none() | st.integers(1, 4))
    def helm_rollback(self, data: st.DataObject, killed: int | None) -> None:
        if self.world.secrets and not self.locked:
            self.go_back(data.draw(st.sampled_from(sorted(self.world.secrets))), killed)

    @rule(spec=st.sampled_from(("better", "best")))
    def change_and_go_back(self, spec: str) -> None:
        """What most rollbacks are: to what was there just now."""
        self.change_and_see_it_done("good")
        self.change_and_see_it_done(spec)
        if len(self.world.secrets) > 1 and not self.locked:
            self.go_back(sorted(self.world.secrets)[-2], None)

    def go_back(self, to: int, killed: int | None) -> None:
        tried = any(
            each.stamp and each.stamp.spec_digest == self.spec for each in self.world.revisions()
        )
        self.by_hand(killed, lambda: self.world.rollback(to, f"Rollback to {to}"))
        whole = self.world.revisions()[-1].status == "deployed"
        self.gone_back = self.world.template if tried and whole else None

    @rule(killed=st.none() | st.integers(1, 3))
    def helm_uninstall(self, killed: int | None) -> None:
        self.by_hand(killed, self.world.uninstall)

    @rule(data=st.data())
    def delete_a_revision(self, data: st.DataObject) -> None:
        self.gone_back = None
        # (Who deletes one that was cut off deletes the only trace of what it did.)
        whole = [
            number
            for number, secret in sorted(self.world.secrets.items())
            if secret["metadata"]["labels"]["status"] in ("deployed", "superseded")
        ]
        if whole:
            del self.world.secrets[data.draw(st.sampled_from(whole))]

    def by_hand(self, killed: int | None, act: Any) -> None:
        self.gone_back = None
        self.world.kill_after = killed
        try:
            act()
        except (Killed, Refused):
            pass
        finally:
            self.world.kill_after = None

    @property
    def locked(self) -> bool:
        return any(
            secret["metadata"]["labels"]["status"].startswith("pending-")
            for secret in self.world.secrets.values()
        )

    # What the operator and the cluster do.

    @rule(times=st.integers(1, 6))
    def work(self, times: int) -> None:
        for _ in range(times):
            self.once()
            self.world.settle()

    @rule(writes=st.integers(1, 4), with_operator=st.booleans())
    def work_and_die(self, writes: int, with_operator: bool) -> None:
        """Helm is killed after some of its writes, alone or with the operator."""
        self.world.kill_after = writes
        try:
            self.once()
        except Killed:
            if with_operator:
                self.start()
        finally:
            self.world.kill_after = None

    @rule(seconds=st.sampled_from([1, 30, 200, 700]))
    def wait(self, seconds: int) -> None:
        later(self.world, seconds)
        self.world.settle()

    def snapshot(self) -> Snapshot:
        the_pool: Pool = pool(self.fields, status=self.status)
        if not self.failed_known:
            self.failed = the_pool.status.release.failed if the_pool.status.release else None
            self.failed_known = True
        revisions = self.world.revisions()
        known = self.origin and revisions and self.origin.uid == revisions[-1].uid
        return Snapshot(
            pool=the_pool,
            spec_digest=self.spec,
            asked=self.spec,
            turn=self.turn,
            revisions=revisions,
            workloads=self.world.workloads(),
            pods=self.world.live_pods(),
            now=self.world.now,
            failed=self.failed,
            helm_ended=self.helm_ended,
            origin=self.origin if known else None,
        )

    def once(self) -> steps.Step | None:
        """Observe, decide, report, act, as the reconciler does; None when it only reported."""
        snapshot, policy = self.snapshot(), policy_of(self.chart)
        step = decide(snapshot, policy)
        if not step.before_report:
            status = status_for(snapshot, step, policy, "c", self.world.now).as_object()
            if status != self.status:
                # (Conditions never tell Ready of what does not run.)
                self.status = json.loads(json.dumps(status))
                return None
        try:
            self.act(step, snapshot)
        except Refused:
            digests = goal_for(snapshot, policy).digests or (self.spec, self.chart)
            self.failed = FailedAttempt(
                spec_digest=digests[0],
                chart_digest=digests[1],
                reason=Reason.OBJECT_REFUSED,
                message="refused",
            )
        return step

    def act(self, step: steps.Step, snapshot: Snapshot) -> None:
        current = snapshot.current
        match step:
            case steps.Install() | steps.Upgrade():
                assert not self.locked
                assert self.turn or not self.is_behind_alone(current), "it is not its turn"
                number = step.revision if isinstance(step, steps.Upgrade) else 1
                parked = isinstance(step, steps.Install) and step.parked
                self.helm(number, lambda: self.make(number, parked))
            case steps.Rollback():
                assert not self.locked
                said = rollback_description(step.to, step.why)
                self.helm(step.revision, lambda: self.world.rollback(step.to, said))
            case steps.Uninstall():
                self.world.uninstall()
            case steps.Unlock():
                assert current
                if step.own_child:
                    self.helm_ended = 0
                    secret = self.world.secrets[current.number]
                    if current.stamp is None and not origin_of(secret).ours:
                        return
                self.world.unlock(current.number)
            case steps.Scale():
                self.world.scale(step.replicas)
            case steps.MarkHealthy():
                assert current
                self.world.label(current.number, {HEALTHY: str(current.number)})
            case steps.ReadOrigin():
                assert current
                self.origin = origin_of(self.world.secrets[current.number])
            case steps.StampRevision():
                assert current
                assert current.carried
                self.world.label(current.number, current.carried[1].labels(current.number))
            case steps.PruneHistory():
                kept = [each for each in snapshot.revisions if each.secret not in step.secrets]
                assert [each for each in snapshot.revisions if each.healthy][-1:] == [
                    each for each in kept if each.healthy
                ][-1:], "the last healthy revision is pruned"
                self.world.secrets = {each.number: self.world.secrets[each.number] for each in kept}
                self.world.wrote()
            case steps.ReplaceStuckPod():
                number = int(step.pod.rpartition("-")[2])
                assert str(self.world.pods[number].uid) == step.uid
                del self.world.pods[number]
                self.world.wrote()
            case steps.Wait() | steps.Nothing() | steps.Stall():
                pass
            case _:
                raise AssertionError(f"nobody thought of {step}")

    def is_behind_alone(self, current: Revision | None) -> bool:
        """Whether nothing but the operator's chart separates a whole release from its spec."""
        stamp = current.stamp if current and current.status == "deployed" else None
        return bool(
            stamp and not stamp.parked and not self.failed and stamp.spec_digest == self.spec
        )

    def helm(self, number: int, run: Any) -> None:
        try:
            run()
        finally:
            self.helm_ended = number

    def make(self, number: int, parked: bool) -> None:
        content = (self.spec, self.chart)
        labels = stamp_for(content, parked=parked).labels(number)
        self.world.upgrade(content, labels, "Upgrade complete")

    # What must be so.

    def teardown(self) -> None:
        """Let everything come to its end, and look at it."""
        self.fields.pop("suspend", None)
        if not self.turn:
            self.judge(self.end())
            self.turn = True
        step = self.end()
        before = self.world.writes, json.dumps(self.status)
        for _ in range(3):
            assert self.once() == step
        assert (self.world.writes, json.dumps(self.status)) == before, "a steady state writes"
        self.start()
        again = self.end()
        assert type(again) is type(step), "a restart changes nothing"
        assert self.world.writes == before[0], "a restart writes nothing"
        self.judge(again)

    def end(self) -> steps.Step:
        """Run until nothing is left to do, with time for whatever is waited for."""
        trail: list[str] = []
        for _ in range(120):
            step = self.once()
            self.world.settle()
            trail.append(str(step))
            if isinstance(step, steps.Nothing) or (
                isinstance(step, steps.Stall) and not step.seconds
            ):
                # (What settled since may be news.)
                if self.once() == step:
                    return step
            elif isinstance(step, steps.Wait | steps.Stall):
                later(self.world, step.seconds + 1)
        raise AssertionError("it never ends: " + "\n".join(trail[-12:]))

    def judge_stall(self, step: steps.Stall, snapshot: Snapshot) -> None:
        world, pods = self.world, self.world.pods.values()
        assert world.template or step.reason in (Reason.REVISION_GONE, Reason.OBJECT_REFUSED)
        match step.reason:
            case Reason.ROLLED_BACK:
                assert world.template
                assert world.template != (self.spec, self.chart)
                assert ready(world.template)
                assert all(pod.content == world.template for pod in pods)
                assert len(world.pods) == world.replicas
            case Reason.PROGRESS_DEADLINE_EXCEEDED:
                assert world.template
                assert not ready(world.template), "nothing is wrong with it"
            case Reason.OBJECT_REFUSED:
                assert "refused" in self.spec or self.fields.get("rollbackTo")
            case Reason.HELD_BY_HELM_ROLLBACK:
                assert snapshot.current
                assert not snapshot.current.stamp
        assert step.reason is Reason.HELD_BY_HELM_ROLLBACK or not self.must_be_held

    @property
    def must_be_held(self) -> bool:
        """Whether the last that happened was a person's rollback to what the spec doesn't ask."""
        return bool(
            self.gone_back
            and self.gone_back != (self.spec, self.chart)
            and not self.fields.get("rollbackTo")
        )

    def judge(self, step: steps.Step) -> None:
        snapshot = self.snapshot()
        conditions = {each.type: each for each in snapshot.pool.status.conditions}
        turned, stalled = conditions["Ready"], conditions["Stalled"]
        spec, world = snapshot.pool.spec, self.world
        assert spec
        if isinstance(step, steps.Stall):
            assert step.reason in TERMINAL, step
            assert (turned.status, stalled.status) == ("False", "True")
            self.judge_stall(step, snapshot)
            return
        assert not self.must_be_held
        assert stalled.status == "False"
        current = snapshot.current
        assert current
        assert current.stamp
        assert current.status == "deployed"
        assert current.stamp.digests == world.template, "the labels lie"
        assert world.replicas == spec.replicas
        wanted = (self.spec, self.chart)
        if spec.rollback_to:
            pinned = snapshot.pool.status.release and snapshot.pool.status.release.pinned
            assert pinned
            wanted = pinned.digests
        elif not self.turn and world.template and world.template[0] == self.spec:
            wanted = world.template  # with the chart of before
            assert snapshot.pool.status.rollout
            assert snapshot.pool.status.rollout.standing in ("Waiting", "Unready", "Current")
        assert world.template == wanted
        running = [pod.content for pod in world.pods.values()]
        alright = running == [wanted] * spec.replicas and all(pod.ready for pod in snapshot.pods)
        assert (turned.status == "True") == alright
        assert alright or spec.rollback_to, "only a pinned pool may stand broken without a word"


TestStories = Story.TestCase
TestStories.settings = settings(
    max_examples=150,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
