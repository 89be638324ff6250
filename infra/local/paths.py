"""Where the local stack keeps its files: all of them below `.tickrec/` in the project."""

from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
HOME: Final = PROJECT / ".tickrec"
