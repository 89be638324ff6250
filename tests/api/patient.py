"""An API that waits for Redis and Kafka without bounds.

`python -m tests.api.patient` is otherwise the same as `python -m api`. On a busy machine, a bound
such as the 200 ms for a read turns a correct answer into a 503: only tests of a bound use it.
"""

from types import ModuleType
from typing import Final

from api import __main__ as program
from api.events import producer, publisher
from api.hot import arrival
from api.http import bodies
from api.live import hub as bars
from api.live import reading as channels
from api.redis import nodes, store
from tests.patience import PATIENCE_S

Bounds = tuple[tuple[ModuleType, str], ...]

BEHIND: Final[Bounds] = (
    (bars, "READ_DEADLINE_S"),
    (channels, "QUIET_S"),
    (channels, "_TIMEOUT_S"),
    (nodes, "_CONNECT_TIMEOUT_S"),
    (publisher, "ANSWER_DEADLINE_S"),
    (store, "READ_DEADLINE_S"),
)
"""The bounds, in seconds, of the services behind the API."""
OF_SUBSCRIPTIONS: Final = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), PATIENCE_S)
OF_CLIENTS: Final[Bounds] = ((arrival, "ARRIVAL_TIMEOUT_S"), (bodies, "BODY_TIMEOUT_S"))
"""The bounds of clients, which the program keeps here, too."""


def main() -> None:
    """Serve as the program does."""
    for module, name in BEHIND:
        setattr(module, name, PATIENCE_S)
    channels._OF_SUBSCRIPTIONS.update(OF_SUBSCRIPTIONS)
    setattr(producer, "DELIVERY_TIMEOUT_MS", round(PATIENCE_S * 1000))  # noqa: B010 (it is Final)
    program.main()


if __name__ == "__main__":
    main()
