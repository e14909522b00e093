"""A paper's printed numbers with our runs beside them.

``python -m PKG.tables`` reads ``PKG/published.csv`` and the finished runs, and nothing else. A run
fills a row only if its whole config equals the row's preset (seed, split seed and fold aside) and
it saw every image of the data set; any other run is listed with what differs. Synthetic runs never
appear.

printed, words, elsewhere -> arithmetic, behind -> ours -> other_images -> judge -> resolution,
paper, nearest -> comparison, as_printed -> tally, cells -> show -> readme, quoted, unprinted ->
entry
"""

from common.tables import elsewhere
from common.tables.arithmetic import paper_count, paper_counts, recover_count, size_remarks
from common.tables.behind import counts_behind, interval_behind, lookup, reason
from common.tables.cells import HEADER, OTHER, Notes, cells, split_notes, table_title
from common.tables.comparison import compared, rows
from common.tables.elsewhere import Line
from common.tables.entry import main
from common.tables.judge import (
    MARGIN,
    Difference,
    Judgement,
    difference,
    difference_interval,
    judgement,
    status,
)
from common.tables.ours import Estimate, Group, estimate
from common.tables.paper import Paper, command, load, missing_images
from common.tables.printed import COLUMNS, SCALES, published, published_text, unknown
from common.tables.quoted import HEADING, Quoted, quoted, quoted_markdown
from common.tables.readme import BEGIN, END, block, update_readme
from common.tables.resolution import MARK, resolved, told
from common.tables.show import LEGEND, LEGEND_OTHER, latex, markdown, markdown_table
from common.tables.tally import Tally, in_words, tally
from common.tables.words import (
    JUDGEMENTS,
    OTHER_IMAGES,
    REASONS,
    VERDICTS,
    judgement_of,
)

__all__ = [
    "BEGIN",
    "COLUMNS",
    "END",
    "HEADER",
    "HEADING",
    "JUDGEMENTS",
    "LEGEND",
    "LEGEND_OTHER",
    "MARGIN",
    "MARK",
    "OTHER",
    "OTHER_IMAGES",
    "REASONS",
    "SCALES",
    "VERDICTS",
    "Difference",
    "Estimate",
    "Group",
    "Judgement",
    "Line",
    "Notes",
    "Paper",
    "Quoted",
    "Tally",
    "block",
    "cells",
    "command",
    "compared",
    "counts_behind",
    "difference",
    "difference_interval",
    "elsewhere",
    "estimate",
    "in_words",
    "interval_behind",
    "judgement",
    "judgement_of",
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
    "resolved",
    "rows",
    "size_remarks",
    "split_notes",
    "status",
    "table_title",
    "tally",
    "told",
    "unknown",
    "update_readme",
]
