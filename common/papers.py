"""The one list of papers. Nothing else is ever imported by a name that a file gives.

A new paper is one more line here; commands, tests and packaging read this list.
"""

PAPERS = (
    "her2scoring",
    "breakhis",
    "ernet",
    "gan_fusion",
    "wrn_edge",
)
"""Names of the papers' packages, in the order in which they are shown."""
