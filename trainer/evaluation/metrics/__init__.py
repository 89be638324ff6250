"""The measures, one a file. Pure: lists and what was to be found in, numbers out."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from contracts.messages import Floats
from trainer.evaluation.judged import Judged
from trainer.evaluation.metrics.average_precision import average_precision
from trainer.evaluation.metrics.hit_rate import hit_rate
from trainer.evaluation.metrics.intra_list_similarity import intra_list_similarity
from trainer.evaluation.metrics.ndcg import ndcg
from trainer.evaluation.metrics.novelty import novelty
from trainer.evaluation.metrics.precision import precision
from trainer.evaluation.metrics.recall import recall

OF_A_LIST: Final[Mapping[str, Callable[[Judged], Floats]]] = MappingProxyType(
    {
        "ndcg": ndcg,
        "map": average_precision,
        "precision": precision,
        "recall": recall,
        "hit_rate": hit_rate,
        "intra_list_similarity": intra_list_similarity,
        "novelty": novelty,
    }
)
"""What each list has a value of; NaN where it has none. The measure is the mean over the lists."""

ACCURACY: Final = ("ndcg", "map", "precision", "recall", "hit_rate")
"""Those that say whether the right items were found."""

NAMES: Final = (*ACCURACY, "coverage", "personalization", "intra_list_similarity", "novelty")
"""Every measure, in the order of tables."""
