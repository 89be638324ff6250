"""What was read of a file is kept while there is room, and never more than that."""

from hypothesis import given
from hypothesis import strategies as st

from api.bars.archive.rows import _Recent


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 12)), max_size=40))
def test_what_is_kept_was_put_last_and_fits(puts: list[tuple[int, int]]) -> None:
    recent = _Recent[int](10)
    sizes: dict[int, int] = {}
    for number, (key, size) in enumerate(puts):
        recent.put(key, number, size)
        sizes.pop(key, None)
        sizes[key] = size
        while sum(sizes.values()) > 10:
            sizes.pop(next(iter(sizes)))
    assert {key for key in range(6) if recent.get(key) is not None} == sizes.keys()


def test_what_is_used_stays_before_what_is_not() -> None:
    recent = _Recent[str](2)
    recent.put(1, "used")
    recent.put(2, "not")
    assert recent.get(1) == "used"
    recent.put(3, "new")
    assert (recent.get(1), recent.get(2), recent.get(3)) == ("used", None, "new")
