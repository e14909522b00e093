"""Synthetic breast tissue in the folder layouts and file formats of BreakHis, BCI and BACH.

For demonstrations and tests where no data set is at hand. No image shows a patient, and nothing
learned from one holds for real tissue; hence every folder, PNG and TIFF says that it is SYNTHETIC,
and case and image numbers lie in ranges that the real data sets do not use:

=========  =============================================================
BreakHis   cases 90001 ... (`SOB_B_A-14-90001AB-40-001.png`)
BCI        images 90000 ... (`90000_train_1+.png`)
BACH       images 901 ... (`b901.tif`)
=========  =============================================================

An image depends only on the seed, the data set, its patient or slide and its number, so the same
call writes the same bytes, on any number of threads, and an interrupted one goes on where it
stopped.
"""

from common.datasets.marks import is_synthetic_png
from common.datasets.synthetic.layouts import bach, bci, breakhis, demo
from common.datasets.synthetic.plans import demo_index

__all__ = ["bach", "bci", "breakhis", "demo", "demo_index", "is_synthetic_png"]
