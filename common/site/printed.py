"""The page of what arithmetic finds in a paper's printed numbers."""

from __future__ import annotations

import functools
from typing import Any

from common import forensics
from common.forensics.show import content, summary


@functools.cache
def page(package: str) -> dict[str, Any]:
    """Gather what the template of `common.forensics` shows.

    Parameters
    ----------
    package : str
        Name of the paper's package.

    Returns
    -------
    dict
        And `in_brief`: how many numbers have which verdict.
    """
    table = forensics.of_paper(package)
    numbers = forensics.numbers(table, package)
    found = forensics.findings(numbers, package)
    judged = forensics.with_verdicts(table, found)
    return {
        **content([(package, numbers, found, judged)]),
        "title": f"Forensics: {package}",
        "page_command": f"python -m common.forensics {package} --page OUT",
        "in_brief": summary(judged),
    }
