"""New listings: instruments of the catalog that have no counts yet, by category. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NewListings:
    """The new listings of one version of the catalog, as of one generation."""

    of_category: Mapping[str, Sequence[int]]
    """those with the highest ids first; a category without any is not in it"""
    shares: Mapping[str, float]
    """of these categories: their share of all counts"""
