"""Stage 1: a UCR/UEA set by name, or your own file → SeriesSet."""

from vlm_tsc.archive.load import load
from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import Splits

__all__ = ["SeriesSet", "Splits", "load"]
