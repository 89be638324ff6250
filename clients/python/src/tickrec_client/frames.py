"""Answers as data frames, if pandas is installed: `pip install 'tickrec-client[pandas]'`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T", bound=msgspec.Struct)

_INSTRUMENT: Final = "instrument"
_TIME: Final = "t"
"""the start of a bar: the index of its row"""


def frame(
    kind: type[T], rows: Sequence[T] | Mapping[str, T] | Mapping[str, list[T]]
) -> "pd.DataFrame":
    """Return a row for each struct, in their order; epoch ms become times in UTC.

    Args:
        kind: the rows' type, whose fields are the columns, also if there are no rows.
        rows: the structs, or those of each instrument, by its name in the request, an id or a
            symbol: then `instrument` with these names comes first.

    Raises:
        ModuleNotFoundError: pandas is not installed.
    """
    import pandas as pd  # an extra of the package

    by_instrument = isinstance(rows, Mapping)
    columns = [*([_INSTRUMENT] if by_instrument else []), *kind.__struct_fields__]
    found = pd.DataFrame(list(_records(rows)), columns=columns)
    for name in columns:
        if name in (_TIME, "ts") or name.endswith("_ts"):
            found[name] = pd.to_datetime(found[name], unit="ms", utc=True)
    index = [name for name in (_INSTRUMENT, _TIME) if by_instrument or name == _TIME]
    return found.set_index(index) if _TIME in columns else found


def _records(rows: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(rows, Mapping):
        yield from (msgspec.structs.asdict(row) for row in rows)
        return
    for name, of_one in rows.items():
        for row in of_one if isinstance(of_one, list) else [of_one]:
            yield {_INSTRUMENT: name, **msgspec.structs.asdict(row)}
