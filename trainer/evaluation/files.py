"""Reads interactions from a CSV, CSV.gz or Parquet file, and refuses invalid ones.

An invalid row is an error: figures from half a file would be believed.
"""

import gzip
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.event_types import BUILT_IN, TRADE
from contracts.messages import MAX_INSTRUMENT_ID, MAX_USER_ID_BYTES, Floats, Ints
from contracts.times import MAX_TS_MS
from trainer.evaluation.interactions import Interactions, Mask, Texts, UserIds

COLUMNS: Final = ("ts_ms", "user_id", "instrument_id")
"""What a file must have."""
OPTIONAL: Final = ("event", "price", "quantity")
"""What it may have: an event is a trade without, and a transaction has no value."""
ENDINGS: Final = (".csv", ".csv.gz", ".parquet")
_INT64_MAX: Final = str(2**63 - 1)


class FileError(ValueError):
    """A file cannot be used: the message names it, the problem and the remedy."""


def read_interactions(path: Path, event_weights: Mapping[str, float] = BUILT_IN) -> Interactions:
    """Return the rows of a file, in its order.

    Args:
        path: of the file.
        event_weights: of each type of event.

    Raises:
        FileError: it cannot be read, has not the columns or no rows, or a value is wrong.
    """
    frame = _read(path)
    if frame.empty:
        raise FileError(f"{path}: no rows: give a file with interactions")
    events, weights = _events(path, frame, event_weights)
    return Interactions(
        ts_ms=_integers(path, frame, "ts_ms", MAX_TS_MS),
        users=_user_ids(path, frame),
        items=_integers(path, frame, "instrument_id", MAX_INSTRUMENT_ID),
        events=events,
        weights=weights,
        values=_values(path, frame),
    )


def _read(path: Path) -> pd.DataFrame:
    """Return the columns of a file as text; a value that is not there is NA or empty."""
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        raise FileError(f"{path}: the name must end in one of {', '.join(ENDINGS)}")
    try:
        return _read_parquet(path) if name.endswith(".parquet") else _read_csv(path)
    except pd.errors.EmptyDataError as error:
        raise FileError(f"{path}: empty: give a file with a header and rows") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise FileError(
            f"{path}: no CSV ({str(error).strip()}): correct the separators or quotes"
        ) from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: not UTF-8 ({error}): save it as UTF-8") from error
    except pa.ArrowException as error:
        raise FileError(f"{path}: no Parquet file ({error}): write it again") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileError(f"{path}: not gzip, or broken off ({error}): pack it again") from error
    except OSError as error:
        reason = error.strerror or error
        raise FileError(f"{path}: {reason}: give the path of a readable file") from error


def _read_csv(path: Path) -> pd.DataFrame:
    compression: Final = "gzip" if path.name.lower().endswith(".gz") else None
    header = pd.read_csv(path, nrows=0, compression=compression)
    _check_columns(path, list(header.columns))
    # As text, so that leading zeros of user ids are kept, and "NA" is a valid user id.
    with warnings.catch_warnings():
        # Values beyond the header's columns would be dropped with a warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            path,
            compression=compression,
            dtype=str,
            index_col=False,
            keep_default_na=False,
            skip_blank_lines=False,
        )[_columns(list(header.columns))]


def _read_parquet(path: Path) -> pd.DataFrame:
    with path.open("rb") as stream:
        names = pq.read_schema(stream).names
        _check_columns(path, names)
        table = pq.read_table(stream, columns=_columns(names))
    # Arrow writes the whole number 17850.0 as 17850: integers with gaps come as floats.
    return pd.DataFrame(
        {name: _texts(path, name, table.column(name)) for name in table.column_names}
    )


def _texts(path: Path, name: str, values: Any) -> list[str]:
    try:
        return values.cast(pa.string()).fill_null("").to_pylist()  # type: ignore[no-any-return]
    except pa.ArrowException as error:
        raise FileError(
            f"{path}: column {name} is of type {values.type}, which is no number and no text: "
            "write it as one"
        ) from error


def _check_columns(path: Path, found: list[str]) -> None:
    missing = [column for column in COLUMNS if column not in found]
    if missing:
        raise FileError(
            f"{path}: no column {', '.join(missing)} among {', '.join(found) or 'none'}: "
            f"interactions need {', '.join(COLUMNS)}; name the columns so"
        )


def _columns(found: list[str]) -> list[str]:
    """Return the columns that are read, of those that are there."""
    return [*COLUMNS, *(column for column in OPTIONAL if column in found)]


def _events(
    path: Path, frame: pd.DataFrame, event_weights: Mapping[str, float]
) -> tuple[Texts, Floats]:
    """Return the types of the events, and their weights."""
    if "event" not in frame:
        return np.full(len(frame), TRADE, object), np.full(len(frame), event_weights[TRADE])
    types = frame["event"].fillna("").replace("", TRADE)
    places = pd.Index(list(event_weights)).get_indexer(pd.Index(types))
    _refuse(path, frame, "event", places < 0, f"one of {', '.join(event_weights)} (EVENT_WEIGHTS)")
    return types.to_numpy(object), np.array(list(event_weights.values()))[places]


def _values(path: Path, frame: pd.DataFrame) -> Floats:
    if "price" not in frame or "quantity" not in frame:
        return np.full(len(frame), np.nan)
    price, quantity = (_amounts(path, frame, name) for name in ("price", "quantity"))
    values: Floats = price * quantity
    return values


def _amounts(path: Path, frame: pd.DataFrame, column: str) -> Floats:
    text = frame[column].fillna("")
    numbers: Floats = pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
    wrong = (text != "").to_numpy(bool) & ~((numbers > 0) & np.isfinite(numbers))
    _refuse(path, frame, column, wrong, "a finite number above 0")
    return numbers


def _user_ids(path: Path, frame: pd.DataFrame) -> UserIds:
    users: UserIds = frame["user_id"].fillna("").to_numpy(object)
    length = np.fromiter((len(user.encode()) for user in users), np.int64, len(users))
    wrong = (length == 0) | (length > MAX_USER_ID_BYTES)
    _refuse(path, frame, "user_id", wrong, f"1 to {MAX_USER_ID_BYTES} bytes of text")
    return users


def _integers(path: Path, frame: pd.DataFrame, column: str, greatest: int) -> Ints:
    text = frame[column].fillna("")
    digits = text.str.fullmatch(r"[0-9]{1,19}")
    # 19 digits may be more than 63 bits hold; of one length, text is ordered as numbers are.
    fits = digits & (text.str.zfill(len(_INT64_MAX)) <= _INT64_MAX)
    numbers: Ints = np.array(text.where(fits, "0").to_numpy(object), np.int64)
    wrong: Mask = ~fits.to_numpy(bool) | (numbers > greatest)
    _refuse(path, frame, column, wrong, f"a whole number from 0 to {greatest}")
    return numbers


def _refuse(path: Path, frame: pd.DataFrame, column: str, wrong: Mask, rule: str) -> None:
    """Raise what is wrong with the first row that `wrong` is true for, if there is one."""
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        value = frame[column].iloc[row]
        shown = "no value" if pd.isna(value) or value == "" else f"value {value!r}"
        raise FileError(
            f"{path}, row {row + 1} (the header not counted), column {column}: {shown}, must be "
            f"{rule}: correct or remove it; {int(wrong.sum())} rows are wrong in this column"
        )
