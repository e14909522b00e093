"""The words that stand beside every result here; the same as in `common.notices`."""

RESEARCH_USE = "Research use, not for diagnosis."
SYNTHETIC = "SYNTHETIC: trained on synthetic tissue; means nothing on real images."
