"""How long tests wait for a condition: long enough that only a defect makes them give up."""

from typing import Final

PATIENCE_S: Final = 180.0
