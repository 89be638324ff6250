"""How far an import has come: what the next request with the same key skips."""

import msgspec

from api.imports.lines import Place


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """What is in the log of an import."""

    size: int = 0
    """bytes of the body, decompressed"""
    digest: str = ""
    """of these bytes and the media type"""
    place: Place = Place()
    quotes: int = 0
    interactions: int = 0
    is_finished: bool = False
    """whether this is all of the body"""

    @property
    def events(self) -> int:
        """The number of events that are published."""
        return self.quotes + self.interactions


decode_progress = msgspec.json.Decoder(Progress).decode
encode_progress = msgspec.json.Encoder().encode
