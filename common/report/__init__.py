"""One page about one run, from the files of its folder alone: python -m common.report RUN.

The page, `report.html`, holds its pictures and its style in itself: it can be mailed, printed and
opened years later. It needs no model, no images, no network and no JavaScript. What a run lacks is
left out, or said to be missing; a damaged file is named and stops nothing.

files -> summary, data, training, results, patients, paper, making -> page, with words and pictures
"""

from common.errors import DAMAGE
from common.report.files import RunFiles, read
from common.report.page import render, write, write_page
from common.report.patients import WRONG_SHOWN

__all__ = ["DAMAGE", "WRONG_SHOWN", "RunFiles", "read", "render", "write", "write_page"]
