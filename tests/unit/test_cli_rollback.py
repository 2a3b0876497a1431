"""What people are told of a pool's revisions, and which of them they may name."""

from typing import Any

import pytest
from rich.console import Console

from kvhelm.cli.history import history_table
from kvhelm.cli.rollback import check_target
from kvhelm.errors import SpecError


def entry(revision: int, **more: Any) -> dict[str, Any]:
    known = {"outcome": "superseded", "healthy": True, "time": "2026-01-01T00:00:00Z"}
    return {"revision": revision, "specDigest": "s", "chart": "kvcachepool-1.0.0", **known, **more}


def pool(**release: Any) -> dict[str, Any]:
    theirs = entry(2, healthy=False)
    del theirs["specDigest"], theirs["chart"]
    history = [entry(1), theirs, entry(3, outcome="deployed", healthy=False)]
    status = {"release": {"name": "p", "revision": 3, **release}, "history": history}
    return {"metadata": {"name": "p"}, "status": status}


def lines(pool: dict[str, Any]) -> list[list[str]]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(history_table(pool))
    return [line.split() for line in captured.get().splitlines()]


def test_the_history_says_what_helm_does_not() -> None:
    assert lines(pool(pinned={"revision": 1}, rejected={"revision": 3}))[1:] == [
        [
            "1",
            "2026-01-01T00:00:00Z",
            "kvcachepool-1.0.0",
            "superseded",
            "yes",
            "pinned",
            "by",
            "spec.rollbackTo",
        ],
        ["2", "2026-01-01T00:00:00Z", "superseded", "no", "not", "made", "by", "kvhelm"],
        [
            "3",
            "2026-01-01T00:00:00Z",
            "kvcachepool-1.0.0",
            "deployed",
            "no",
            "current,",
            "taken",
            "back",
        ],
    ]


def test_a_pool_without_revisions() -> None:
    assert len(lines({"metadata": {"name": "p"}})) == 1
    with pytest.raises(SpecError, match=r"--to 1: p has no such revision .* there are: none"):
        check_target({"metadata": {"name": "p"}}, 1)


@pytest.mark.parametrize("number", [2, 9])
def test_only_a_revision_of_kvhelms_can_be_named(number: int) -> None:
    check_target(pool(), 1)
    with pytest.raises(SpecError, match=rf"--to {number}: .* there are: 1, 3"):
        check_target(pool(), number)
