"""Many runs → tables and pages."""

from vlm_tsc.report.page import run_folders, write_report
from vlm_tsc.report.runs import collect
from vlm_tsc.report.table import table
from vlm_tsc.report.tables import write_tables

__all__ = ["collect", "run_folders", "table", "write_report", "write_tables"]
