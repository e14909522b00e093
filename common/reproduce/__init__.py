"""All rows of the papers by one command: what would run, what runs, what came of it.

Names are imported when they are asked for: a worker needs next to nothing.
"""

from common.papers import lazily

__all__ = ["TWINS", "Item", "items", "of_paper"]

__getattr__ = lazily(__name__, **dict.fromkeys(__all__, "work"))
