"""A static site of all that is known: papers, data sets, runs; of results files and run folders.

Every page holds its style and its pictures in itself, runs no script and asks no other place for
anything. The same runs and results give the same bytes.

gather, run -> pictures, paper, data, front -> writing
"""

from common.papers import lazily

__all__ = ["write"]

__getattr__ = lazily(__name__, write="writing")
