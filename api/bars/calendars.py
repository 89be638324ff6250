"""The calendars of the exchanges that the catalog names, loaded in the background.

An instrument's exchange is its attribute `exchange`: a MIC (ISO 10383) or a usual name. They are
loaded by a child process once an instrument names a new one, and again each day, because they end a
year from now. The process is `python -m api.bars.calendars XNYS XLON`, which prints them as JSON:
the package exchange_calendars imports pandas, which takes half a second and 66 MB, and neither
should be taken from a server.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from api.bars.trading_hours import Calendar, Hours, NoHoursError, Session
from api.http.problems import NOT_READY, Problem, ProblemType, broken_rule
from api.redis.following import following
from contracts.messages import Ints
from contracts.times import MINUTE_MS

ATTRIBUTE: Final = "exchange"
AT_ONCE: Final = 50
"""Exchanges of one child process: there are about a hundred calendars, and any number of names."""
_MAX_NAME: Final = 16
_REMEDY: Final = f"set its attribute `{ATTRIBUTE}` in the catalog to a MIC, such as XNYS"
_LOOK_EVERY_S: Final = 2.0
_STALE_S: Final = 86_400.0
_LOADED_WITHIN_S: Final = 60.0
_PACKAGE: Final = "exchange_calendars"
_MODULE: Final = "api.bars.calendars"

LOADING: Final[dict[ProblemType, str]] = {
    NOT_READY: "The calendar of XNYS is being loaded: try again"
}
"""The problem of a calendar that is not loaded yet, with an example of a detail."""

Attributes = Mapping[str, bool | int | float | str]

_log = logging.getLogger(__name__)
_calendars = msgspec.json.Decoder(dict[str, Calendar | str])


class Calendars:
    """Knows the trading hours of instruments."""

    def __init__(
        self,
        attributes: Callable[[int], Attributes | None],
        all_attributes: Callable[[], Iterable[Attributes]],
        version: Callable[[], int],
        clock_s: Callable[[], float],
    ) -> None:
        """Start without calendars.

        Args:
            attributes: returns those of an instrument, None if the catalog does not have it.
            all_attributes: returns those of all instruments.
            version: returns the catalog's version.
            clock_s: a clock in seconds.
        """
        self._attributes = attributes
        self._all_attributes = all_attributes
        self._version = version
        self._clock_s = clock_s
        self._is_installed = find_spec(_PACKAGE) is not None
        self._seen_version = 0
        self._loaded_s = -_STALE_S
        self._loaded: dict[str, Calendar | str] = {}
        """Of each exchange, or why it has none."""
        self._hours: dict[tuple[str, Session], Hours | None] = {}

    def following(self) -> AbstractAsyncContextManager[None]:
        """Keep up with the catalog and the clock for the block."""
        return following("calendars", self.refresh, lambda: _LOOK_EVERY_S)

    async def refresh(self) -> None:
        """Load the calendars of exchanges that are new in the catalog, and all once a day."""
        version, now_s = self._version(), self._clock_s()
        is_stale = bool(self._loaded) and now_s >= self._loaded_s + _STALE_S
        if (version == self._seen_version and not is_stale) or not self._is_installed:
            return
        named = sorted(set(filter(None, map(exchange_in, self._all_attributes()))))
        due = named if is_stale else [name for name in named if name not in self._loaded]
        for first in range(0, len(due), AT_ONCE):
            found = await load(due[first : first + AT_ONCE])
            for name, reason in found.items():
                if isinstance(reason, str):
                    _log.warning("the exchange %r in the catalog has no calendar: %s", name, reason)
            self._loaded |= found
            self._hours = {key: own for key, own in self._hours.items() if key[0] not in found}
        if due:
            self._loaded_s = now_s
        self._seen_version = version

    def hours_of(self, instrument_id: int, session: Session) -> tuple[Hours, ZoneInfo]:
        """Return the hours of an instrument's exchange, and its time zone.

        Raises:
            NoHoursError: this instrument's are not known.
            Problem: none are known, or these not yet.
        """
        if not self._is_installed:
            raise broken_rule(
                "session", "needs exchange_calendars on the server: install tickrec[sessions]"
            )
        name = exchange_in(self._attributes(instrument_id) or {})
        if name is None:
            raise NoHoursError(f"instrument {instrument_id} has no exchange: {_REMEDY}")
        if name not in self._loaded:
            raise Problem(NOT_READY, f"The calendar of {name} is being loaded: try again")
        return self._known(instrument_id, name, session)

    def _known(self, instrument_id: int, name: str, session: Session) -> tuple[Hours, ZoneInfo]:
        calendar = self._loaded[name]
        if isinstance(calendar, str):
            # In ASCII, as it may be in a header.
            reason = f"the exchange {name!a} of instrument {instrument_id} has no calendar"
            raise NoHoursError(f"{reason}: {_REMEDY}")
        if (name, session) not in self._hours:
            self._hours[name, session] = calendar.hours(session)
        hours = self._hours[name, session]
        if hours is None:
            raise NoHoursError(f"{session} hours of {name} are not known: ask for regular ones")
        return hours, ZoneInfo(calendar.zone)


def exchange_in(attributes: Attributes) -> str | None:
    """Return the exchange that attributes name, None if they name none."""
    name: Any = attributes.get(ATTRIBUTE)
    if not isinstance(name, str) or not name.strip() or len(name) > _MAX_NAME:
        return None
    # Nothing else can be an argument of a process.
    return name.strip().upper() if name.isprintable() else None


async def load(exchanges: Collection[str]) -> dict[str, Calendar | str]:
    """Return the calendars of exchanges, or why one has none.

    Raises:
        RuntimeError: the child process failed.
        TimeoutError: it takes too long.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", _MODULE, *exchanges),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_LOADED_WITHIN_S):
            out, errors = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
    if child.returncode:
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise RuntimeError(f"the calendars of {', '.join(exchanges)} cannot be loaded: {last}")
    return _calendars.decode(out)


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
