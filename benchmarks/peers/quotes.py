"""The quote and the bar of the Python peers, and how one goes into the other."""

import msgspec


class Quote(msgspec.Struct, gc=False):
    """A price of an instrument at an event time, as it is in Kafka."""

    instrument_id: int
    price: float
    ts: int
    size: float = 0


class Bar(msgspec.Struct, gc=False):
    """A minute bar."""

    o: float
    h: float
    l: float  # noqa: E741 (the field's letter)
    c: float
    v: float = 0
    n: int = 0
    pv: float = 0

    def fold(self, price: float, size: float) -> None:
        """Take in a quote that is newer than those before."""
        if price > self.h:
            self.h = price
        elif price < self.l:
            self.l = price
        self.c = price
        self.v += size
        self.n += 1
        self.pv += price * size


decode = msgspec.json.Decoder(Quote).decode
