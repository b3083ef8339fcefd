"""Prefetching across databases."""

from xdbrel.prefetch.entry import aprefetch_cross_db, prefetch_cross_db

__all__ = ["aprefetch_cross_db", "prefetch_cross_db"]
