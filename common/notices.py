"""The words that stand on everything a run gives out: what it is for, and what it was made of."""

RESEARCH_USE = "Research use, not for diagnosis."
"""On every prediction, report, export and page."""

SYNTHETIC = "SYNTHETIC: generated images, not a result on real tissue"
"""On every number and picture that comes from synthetic tissue."""

FABRICATED = "FABRICATED: drawn at random for tests; no network and no image is behind any number"
"""On every number that comes from runs which a test made up."""

SYNTHETIC_MODEL = "SYNTHETIC: trained on synthetic tissue; means nothing on real images."
"""Beside what a network that saw synthetic tissue says about any image."""

SYNTHETIC_PREFIX = "SYNTHETIC-"
"""Begins the name of a run folder that saw synthetic images."""

SYNTHETIC_MARKER = "SYNTHETIC.txt"
"""File that marks a data folder as synthetic, with all below it."""
