"""Write self-contained HTML pages of a run or a study, which open offline and can be printed."""

from neocog.report.run import write_report
from neocog.report.study import write_study

__all__ = ["write_report", "write_study"]
