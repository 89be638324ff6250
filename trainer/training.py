"""One run: from what stands in Redis to a generation that is served."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec
import numpy as np

from contracts.keyspace import Keyspace
from contracts.messages import Ints
from runtime.stores import Store
from runtime.topology import Topology
from trainer.blocks import blocks
from trainer.counts import read_gram
from trainer.histories import read_user_items
from trainer.inputs import read_inputs, served_inputs
from trainer.lists import names_of, popular_list, similar_lists, user_lists
from trainer.matrices import Gram, UserItems
from trainer.models import Ranker
from trainer.models.cosine import Cosine
from trainer.models.popular import Popular
from trainer.models.user_knn import UserKnn
from trainer.publication import Publication, generation_id, publication
from trainer.ranking import Ranking
from trainer.report import Data, Inputs, Lists, Report
from trainer.settings import TrainerSettings
from trainer.stages import Stages

PAIRS_PER_BLOCK: Final = 500_000
"""About 100 MB while a block is ranked and encoded."""
USERS_PER_BLOCK: Final = 200


class Skipped(StrEnum):
    """Why a run published nothing."""

    UNCHANGED = "unchanged"
    """what is served was made from the same counts, histories and settings"""
    EMPTY = "empty"
    """nobody has anything yet"""


@dataclass(frozen=True, slots=True)
class Training:
    """What a run works with."""

    store: Store
    keyspace: Keyspace
    settings: TrainerSettings
    fence: int
    """the fencing token of the lock that the run holds"""
    stages: Stages
    now: Callable[[], datetime]

    def run(self, *, only_if_changed: bool) -> Report | Skipped:
        """Train and publish a generation, and return its report.

        Raises:
            TopologyError: the topics were never made.
            CorruptValueError: counts or histories are not as they must be.
            SupersededError: another trainer took over.
        """
        started = self.now()
        noted: Any = self.store.hgetall(self.keyspace.topics())
        topology = Topology.from_hash(noted)
        inputs = read_inputs(self.store, self.keyspace, topology, self.settings)
        if only_if_changed and inputs == served_inputs(self.store, self.keyspace):
            return Skipped.UNCHANGED
        gram, user_items = self._read(topology)
        if not len(gram.items) and not user_items.users:
            return Skipped.EMPTY
        return self._publish(gram, user_items, inputs, started)

    def _read(self, topology: Topology) -> tuple[Gram, UserItems]:
        with self.stages.timed("read counts"):
            gram = read_gram(self.store, self.keyspace, topology.cooccurrences, self.stages)
        with self.stages.timed("read histories"):
            user_items = read_user_items(
                self.store,
                self.keyspace,
                topology.interactions,
                self.settings.active_users,
                self.stages,
            )
        return gram, user_items

    def _publish(
        self, gram: Gram, user_items: UserItems, inputs: Inputs, started: datetime
    ) -> Report:
        item_model, user_model = Cosine(self.settings.cosine()), UserKnn(self.settings.user_knn())
        generation = generation_id(started, self.fence)
        with publication(self.store, self.keyspace, generation, self.fence) as made:
            similar_entries = self._write_similar(made, item_model, gram)
            user_entries = self._write_users(made, user_model, user_items)
            popular_entries = self._write_popular(made, gram)
            report = Report(
                generation=generation,
                fence=self.fence,
                started=started.isoformat(),
                finished=self.now().isoformat(),
                inputs=inputs,
                data=data_of(gram, user_items),
                lists=Lists(
                    similar=len(gram.items),
                    similar_entries=similar_entries,
                    user=len(user_items.users),
                    user_entries=user_entries,
                    popular_entries=popular_entries,
                ),
                seconds={stage: round(s, 6) for stage, s in self.stages.seconds.items()},
            )
            made.write({self.keyspace.model_report(generation): msgspec.json.encode(report)})
        made.serve(item_model.name, user_model.name)
        return report

    def _write_similar(self, made: Publication, model: Cosine, gram: Gram) -> int:
        names = names_of(gram.items)
        keys = [self.keyspace.model_similar(made.generation, item) for item in names]
        with self.stages.timed("fit item model"):
            ranker = model.fit(gram.counts)
        sizes = np.diff(gram.counts.indptr).astype(np.int64)
        return self._write_lists(
            made,
            ranker,
            blocks(sizes, PAIRS_PER_BLOCK),
            "item lists",
            lambda ranking, start, stop: dict(
                zip(keys[start:stop], similar_lists(ranking, names, model.name), strict=True)
            ),
        )

    def _write_users(self, made: Publication, model: UserKnn, user_items: UserItems) -> int:
        names = names_of(user_items.items)
        keys = [self.keyspace.model_user(made.generation, user) for user in user_items.users]
        offsets = user_items.offsets
        with self.stages.timed("fit user model"):
            ranker = model.fit(user_items.affinities)
        return self._write_lists(
            made,
            ranker,
            blocks(np.ones(len(keys), np.int64), USERS_PER_BLOCK),
            "user lists",
            lambda ranking, start, stop: dict(
                zip(
                    keys[start:stop],
                    user_lists(ranking, names, model.name, offsets[start:stop]),
                    strict=True,
                )
            ),
        )

    def _write_popular(self, made: Publication, gram: Gram) -> int:
        model = Popular(self.settings.popular())
        ranking = model.fit(gram.counts).rank(0, 1)
        value = popular_list(ranking, names_of(gram.items), model.name)
        made.write({self.keyspace.model_popular(made.generation): value})
        return len(ranking.columns)

    def _write_lists(
        self,
        made: Publication,
        ranker: Ranker,
        of_rows: Sequence[tuple[int, int]],
        title: str,
        values: Callable[[Ranking, int, int], dict[str, bytes]],
    ) -> int:
        """Rank block by block, write each under its keys, and return the number of entries."""
        entries = 0
        for start, stop in self.stages.each(of_rows, title):
            with self.stages.timed(f"rank {title}"):
                ranking = ranker.rank(start, stop)
            with self.stages.timed(f"write {title}"):
                made.write(values(ranking, start, stop))
            entries += len(ranking.columns)
        return entries


def data_of(gram: Gram, user_items: UserItems) -> Data:
    """Return how much there was to learn from."""
    own = gram.counts.diagonal()
    others: Ints = np.diff(gram.counts.indptr) - (own > 0)
    return Data(
        items=len(gram.items),
        pairs=int(others.sum()) // 2,
        items_of_one_user=int((own == 1).sum()),
        items_alone=int((others == 0).sum()),
        users=len(user_items.users),
        affinities=user_items.affinities.nnz,
    )
