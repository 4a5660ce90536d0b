"""Many runs → tables."""

from vlm_tsc.report.runs import collect
from vlm_tsc.report.table import table

__all__ = ["collect", "table"]
