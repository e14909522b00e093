"""A paper's printed numbers with our runs beside them.

``python -m PKG.tables`` reads ``PKG/published.csv`` and the finished runs, and nothing else. A run
fills a row only if its whole config equals the row's preset (seed, split seed and fold aside) and
it saw every image of the data set; any other run is listed with what differs. Synthetic runs never
appear.

printed -> arithmetic, ours -> judge, paper -> comparison, as_printed -> show -> readme, quoted
-> entry
"""

from common.tables.arithmetic import paper_count, paper_counts, recover_count, size_remarks
from common.tables.comparison import compared, rows
from common.tables.entry import main
from common.tables.judge import MARGIN, Difference, difference, difference_interval, status
from common.tables.ours import Estimate, Group, counts_behind, estimate, lookup, reason
from common.tables.paper import Paper, command, load, missing_images
from common.tables.printed import COLUMNS, SCALES, published, published_text, unknown
from common.tables.quoted import HEADING, Quoted, quoted, quoted_markdown
from common.tables.readme import BEGIN, END, block, update_readme
from common.tables.show import (
    HEADER,
    LEGEND,
    Notes,
    cells,
    latex,
    markdown,
    markdown_table,
    split_notes,
    table_title,
)

__all__ = [
    "BEGIN",
    "COLUMNS",
    "END",
    "HEADER",
    "HEADING",
    "LEGEND",
    "MARGIN",
    "SCALES",
    "Difference",
    "Estimate",
    "Group",
    "Notes",
    "Paper",
    "Quoted",
    "block",
    "cells",
    "command",
    "compared",
    "counts_behind",
    "difference",
    "difference_interval",
    "estimate",
    "latex",
    "load",
    "lookup",
    "main",
    "markdown",
    "markdown_table",
    "missing_images",
    "paper_count",
    "paper_counts",
    "published",
    "published_text",
    "quoted",
    "quoted_markdown",
    "reason",
    "recover_count",
    "rows",
    "size_remarks",
    "split_notes",
    "status",
    "table_title",
    "unknown",
    "update_readme",
]
