"""What is served to whom, and how far the workers are. Deciding needs the scope `admin`."""

from collections.abc import Mapping

from .connection import Connection
from .models import Decided, Decisions, Experiments, Models
from .pipeline import DeadLetters, Pipeline, PipelineHistory


class Operations:
    """A decision that does not fit what is served is a TickrecError of kind `conflict`."""

    def __init__(self, connection: Connection) -> None:
        self._api = connection

    def models(self) -> Models:
        """Return what is served to whom and why."""
        return self._api.get(Models, "/v1/models")

    def decisions(self, n: int = 20) -> Decisions:
        """Return the last `n` decisions on generations."""
        return self._api.get(Decisions, "/v1/models/decisions", {"n": n})

    def promote(self, why: str = "") -> Decided:
        """Let all users of the default variant have the canary."""
        return self._api.post(Decided, "/v1/models/promote", {"why": why})

    def roll_back(self, why: str = "") -> Decided:
        """Take the canary away or, without one, go back to the generation before."""
        return self._api.post(Decided, "/v1/models/rollback", {"why": why})

    def experiments(self) -> Experiments:
        """Return which users get which variant."""
        return self._api.get(Experiments, "/v1/experiments")

    def spread_users(self, name: str, weights: Mapping[str, float]) -> Experiments:
        """Spread the users over variants; another name puts them into other groups."""
        body = {"name": name, "weights": weights}
        return self._api.put(Experiments, "/v1/experiments", body)

    def end_experiment(self) -> Experiments:
        """Let every user get the default variant."""
        return self._api.delete(Experiments, "/v1/experiments")

    def pipeline(self) -> Pipeline:
        """Return how far the workers are."""
        return self._api.get(Pipeline, "/v1/pipeline")

    def pipeline_history(self, minutes: int = 60) -> PipelineHistory:
        """Return how far the workers were in the last minutes."""
        return self._api.get(PipelineHistory, "/v1/pipeline/history", {"minutes": minutes})

    def dead_letters(self, topic: str = "all", limit: int = 20) -> DeadLetters:
        """Return the newest records that workers rejected. It needs the scope `admin`."""
        asked = {"topic": topic, "limit": limit}
        return self._api.get(DeadLetters, "/v1/pipeline/dead_letters", asked)
