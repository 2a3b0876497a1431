"""Whose work a revision is that labels do not tell."""

from kvhelm.helm.origin import origin_of, rollback_description
from kvhelm.helm.payload import data_for


def origin(description: str) -> tuple[int | None, bool]:
    release = {"info": {"status": "deployed", "description": description}}
    found = origin_of({"metadata": {"name": "s", "uid": "u"}, "data": data_for(release)})
    assert found.uid == "u"
    return found.target, found.ours


def test_rollbacks() -> None:
    assert origin("Rollback to 12") == (12, False)
    assert origin(rollback_description(3, "spec.rollbackTo names another revision")) == (3, True)


def test_anything_else_is_no_rollback() -> None:
    for words in ("Upgrade complete", "Install complete", "", "see Rollback to 3"):
        assert origin(words) == (None, False)
    # Failed in the middle, by whoever it was.
    assert origin('Rollback "p" failed: context canceled') == (None, False)


def test_a_description_is_never_longer_than_helm_takes() -> None:
    said = rollback_description(7, "because " * 50)
    assert len(said) == 256
    assert origin(said) == (7, True)
