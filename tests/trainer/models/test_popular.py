"""The popular list is the diagonal."""

import numpy as np
from hypothesis import given

from tests.trainer.models.made import Affinities, binary, fewer, gram, ranked, weighted
from trainer.models.popular import Popular, PopularConfig


@fewer
@given(affinities=binary() | weighted())
def test_popular_is_the_diagonal(affinities: Affinities) -> None:
    own = gram(affinities).diagonal()
    (found,) = ranked(Popular(PopularConfig(items=100)), gram(affinities))
    assert found == sorted(((int(i), own[i]) for i in np.flatnonzero(own)), key=lambda p: -p[1])
