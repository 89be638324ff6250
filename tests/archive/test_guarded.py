from contracts.archive import QUOTES_TABLE
from tests.archive.conftest import Setup
from tests.archive.samples import quotes
from tests.guarded import Guarded
from tests.patience import eventually


def test_its_user_needs_no_more_than_its_rights(setup: Setup, guarded: Guarded) -> None:
    guarded.grant("live", setup.kafka.prefix)
    setup.publish([*quotes(50)])
    theirs = Setup(guarded.config("archive", prefix=setup.kafka.prefix), setup.config)
    with theirs.running() as archive:
        eventually(
            lambda: archive.error is not None or len(setup.rows(QUOTES_TABLE)) == 50, "quotes"
        )
    assert archive.error is None
    assert len(setup.rows(QUOTES_TABLE)) == 50
