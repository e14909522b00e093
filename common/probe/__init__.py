"""What features are worth: a linear and a nearest-neighbour probe, judged on unseen patients.

The features may be of any network: our own backbones', a paper's, or a foundation model's that
another program has written. No network is trained, and none is needed here.

listing -> which images, of which classes and patients, in which parts
features -> an array for these images, from the files of several programs
fitting -> probabilities for images of patients that were not fitted on
"""

from common.probe.features import read, write
from common.probe.fitting import NEIGHBOURS, STRENGTHS, Probed, linear, nearest, probe
from common.probe.listing import of_run, of_source

__all__ = [
    "NEIGHBOURS", "STRENGTHS", "Probed", "linear", "nearest", "of_run", "of_source", "probe",
    "read", "write",
]  # fmt: skip
