"""What each paper says, what it leaves open, and where it contradicts itself, as data.

>>> from common import protocols
>>> protocols.discrepancies("her2scoring")["H01"].severity
'medium'
>>> protocols.protocol("her2scoring").stated["epochs"].values
(30,)
"""

from common.protocols.read import (
    SEVERITIES,
    Discrepancy,
    NotBuilt,
    Open,
    Paper,
    Protocol,
    Stated,
    discrepancies,
    protocol,
)
from common.protocols.show import BEGIN, END, block, deviation, left_out, text, update_readme

__all__ = [
    "BEGIN",
    "END",
    "SEVERITIES",
    "Discrepancy",
    "NotBuilt",
    "Open",
    "Paper",
    "Protocol",
    "Stated",
    "block",
    "deviation",
    "discrepancies",
    "left_out",
    "protocol",
    "text",
    "update_readme",
]
