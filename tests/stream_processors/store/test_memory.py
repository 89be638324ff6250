from stream_processors.store.memory import too_large

GB = 10**9


def test_bars_that_will_not_fit_are_named_with_what_there_is() -> None:
    assert too_large(50_000, 1_440, 14 * GB) is None
    assert too_large(50_000, 1_440, memory_bytes=0) is None
    said = too_large(50_000, 1_440, 13 * GB)
    assert said is not None
    assert "bars of 50,000 instruments over 1,440 minutes" in said
    assert "take 13.7 GB, and Redis has 13.0 GB" in said
