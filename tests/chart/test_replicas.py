"""The number of daemons: the chart's with `helm install`, the operator's with a pool."""

from tests.chart.rendering import render

UID = "0f1d2c3b-1111-2222-3333-444455556666"


def test_with_helm_alone_the_values_say_how_many_daemons_run() -> None:
    assert render().daemons["replicas"] == 1
    assert render({"replicas": 3}).daemons["replicas"] == 3
    assert render({"replicas": 0}).daemons["replicas"] == 0


def test_with_a_pool_the_operator_says_it() -> None:
    # Otherwise every upgrade and rollback would undo a scale.
    assert "replicas" not in render({"pool": {"uid": UID}}).daemons


def test_a_pool_made_at_zero_starts_no_daemon() -> None:
    assert render({"pool": {"uid": UID, "parked": True}}).daemons["replicas"] == 0


def test_a_drain_takes_one_daemon_at_a_time_and_is_never_blocked_for_good() -> None:
    budget = render().get("PodDisruptionBudget", "daemon")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert budget["selector"] == render().daemons["selector"]
