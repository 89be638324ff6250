"""What one user was shown lately, in a worker's memory and as a hash in Redis. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from contracts.feedback import FeedbackType
from contracts.impressions import ITEMS_MOST, KEPT_DAYS, Impressions
from contracts.keyspace import OFFSET_FIELD
from contracts.log_position import NOTHING, mark_of, text_of
from contracts.times import DAY_S
from stream_processors.store.chunks import Commands, command

_entries = msgspec.json.Decoder(list[Impressions])
_encode = msgspec.json.Encoder().encode
_EXPIRE_S: Final = str(KEPT_DAYS * DAY_S)
_NONE: Final = Impressions(0, 0, [])


class Shown:
    """The impressions of one user by item, at most `ITEMS_MOST` of them after each message."""

    def __init__(self, stored: Sequence[str]) -> None:
        """Take what Redis has: fields and values, alternating; empty if there is no hash."""
        fields = dict(zip(stored[::2], stored[1::2], strict=True))
        offset = fields.pop(OFFSET_FIELD, None)
        self.mark = NOTHING if offset is None else mark_of(offset)
        """of the last message that changed anything"""
        entries = _entries.decode(f"[{','.join(fields.values())}]")
        self.items = dict(zip(map(int, fields), entries, strict=True))
        self._touched: set[int] = set()
        """items whose entries differ from what Redis has"""

    @property
    def is_changed(self) -> bool:
        """Whether anything differs from what Redis has."""
        return bool(self._touched)

    def fold(self, mark: int, item: int, kind: FeedbackType, token: str, ts_ms: int) -> None:
        """Fold one message, unless it is folded already.

        What was shown longest ago leaves when there are too many, of one time the smaller id.
        """
        if mark <= self.mark:
            return
        after = self.items.get(item, _NONE).after(kind, token, ts_ms)
        if after is None:
            return
        self.mark = mark
        self.items[item] = after
        self._touched.add(item)
        if len(self.items) > ITEMS_MOST:
            oldest = min(self.items, key=lambda item: (self.items[item].t, item))
            del self.items[oldest]
            self._touched.add(oldest)

    def commands(self) -> Commands:
        """Return the writes of what Redis does not have yet."""
        gone = [str(item) for item in sorted(self._touched) if item not in self.items]
        fields = [OFFSET_FIELD, text_of(self.mark)]
        for item in sorted(self._touched & self.items.keys()):
            fields += (str(item), _encode(self.items[item]).decode())
        commands = command("HDEL", gone) if gone else []
        return [*commands, *command("HSET", fields), *command("EXPIRE", [_EXPIRE_S])]
