"""One case as pictures and as text: pure functions of (case, settings).

picture   draw, png_bytes, read_png, choose_limits
text      downsample, values_text, statistics_text, analysis_text
"""

from vlm_tsc.representation.analysis import analysis_text
from vlm_tsc.representation.downsampling import METHODS, downsample, n_points
from vlm_tsc.representation.limits import choose_limits
from vlm_tsc.representation.line import draw
from vlm_tsc.representation.png import png_bytes, read_png
from vlm_tsc.representation.statistics import statistics_text
from vlm_tsc.representation.values import number_text, values_text

__all__ = [
    "METHODS",
    "analysis_text",
    "choose_limits",
    "downsample",
    "draw",
    "n_points",
    "number_text",
    "png_bytes",
    "read_png",
    "statistics_text",
    "values_text",
]
