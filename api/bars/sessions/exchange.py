"""`python -m api.bars.sessions.exchange XNYS XLON` prints the calendars of exchanges as JSON.

It runs as a process of its own: the package exchange_calendars imports pandas, which takes half a
second and 66 MB, and neither should be taken from a server.
"""

import sys
from typing import Any, Final

import msgspec

from api.bars.sessions.hours import Calendar, Session
from contracts.messages import Ints
from contracts.times import MINUTE_MS

EXTENDED_MINUTES: Final = {"XNYS": (330, 240)}
"""Minutes before the open and after the close in which exchanges trade too. Those in the US do so
from 4:00 to 20:00, on half days to 17:00."""


def calendar(name: str) -> Calendar | str:
    """Return the calendar of an exchange, by its MIC or an alias, or why there is none.

    It reaches from twenty years ago to a year from now.
    """
    import exchange_calendars

    try:
        found = exchange_calendars.get_calendar(name)
    except Exception as error:  # noqa: BLE001 (some of the package's are broken, such as XTAE's)
        return f"{type(error).__name__}: {error!s:.200}"
    opens, pauses, resumed, closes = (
        _epoch_ms(found.schedule[name]) for name in ("open", "break_start", "break_end", "close")
    )
    has_break = found.schedule["break_start"].notna().to_numpy()
    spans: dict[Session, tuple[list[int], list[int]]] = {
        "regular": (
            sorted([*opens.tolist(), *resumed[has_break].tolist()]),
            sorted([*closes.tolist(), *pauses[has_break].tolist()]),
        )
    }
    if found.name in EXTENDED_MINUTES:
        before, after = (MINUTE_MS * minutes for minutes in EXTENDED_MINUTES[found.name])
        spans["extended"] = ((opens - before).tolist(), (closes + after).tolist())
    return Calendar(found.tz.key, spans)


def _epoch_ms(times: Any) -> Ints:
    """Return a column of times in epoch ms, (n,)."""
    found: Ints = times.dt.as_unit("ms").astype("int64").to_numpy()
    return found


def main() -> None:
    """Print the calendars of the exchanges that the arguments name."""
    found = {name: calendar(name) for name in sys.argv[1:]}
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
