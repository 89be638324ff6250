"""How long tests wait for what must come: so long that only something broken makes them give up."""

from typing import Final

PATIENCE_S: Final = 180.0
