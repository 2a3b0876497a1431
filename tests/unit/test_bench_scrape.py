from bench.scrape import Scrape, difference

ANSWER = """\
# HELP kvhelm_api_requests_total Requests
# TYPE kvhelm_api_requests_total counter
kvhelm_api_requests_total{resource="kvcachepools/status",verb="patch"} 12.0
kvhelm_api_requests_total{resource="events",verb="create"} 4.0
kvhelm_api_requests_total{resource="leases",verb="patch"} 3.0
# HELP kvhelm_leader 1 while this process leads
# TYPE kvhelm_leader gauge
kvhelm_leader 1.0
# HELP kvhelm_helm_duration_seconds Seconds
# TYPE kvhelm_helm_duration_seconds histogram
kvhelm_helm_duration_seconds_bucket{le="+Inf",outcome="succeeded",verb="upgrade"} 5.0
kvhelm_helm_duration_seconds_count{outcome="succeeded",verb="upgrade"} 5.0
kvhelm_helm_duration_seconds_sum{outcome="succeeded",verb="upgrade"} 1.5
"""


def test_values_are_summed_over_the_labels_not_named() -> None:
    scrape = Scrape(ANSWER)
    assert scrape.value("kvhelm_leader") == 1
    assert scrape.value("kvhelm_api_requests_total") == 19
    assert scrape.value("kvhelm_api_requests_total", verb="patch") == 15
    assert scrape.value("no_such_metric") == 0


def test_counts_are_told_apart_by_labels_in_the_order_asked_for() -> None:
    scrape = Scrape(ANSWER)
    assert scrape.counts("kvhelm_api_requests_total", "verb", "resource") == {
        "patch kvcachepools/status": 12,
        "create events": 4,
        "patch leases": 3,
    }
    assert scrape.counts("kvhelm_api_requests_total", "verb") == {"patch": 15, "create": 4}
    assert scrape.counts("kvhelm_helm_duration_seconds_count", "verb", "outcome") == {
        "upgrade succeeded": 5
    }


def test_an_operator_yet_to_start_has_counted_nothing() -> None:
    assert Scrape().value("kvhelm_leader") == 0
    assert Scrape().counts("kvhelm_api_requests_total", "verb") == {}


def test_the_difference_leaves_out_what_did_not_grow_and_begins_with_the_most() -> None:
    before = {"get": 1, "list": 5}
    assert difference(before, {"get": 2, "list": 5, "patch": 7}) == {"patch": 7, "get": 1}
    assert list(difference({}, {"get": 1, "patch": 7})) == ["patch", "get"]
