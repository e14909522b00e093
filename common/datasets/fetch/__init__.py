"""Download a public data set from its own host, resume, verify and unpack it.

Only what its authors publish, from where they publish it, or a copy that the user names.
"""

from common.datasets.fetch.archives import DamagedError, Unpacked, unpack
from common.datasets.fetch.installation import dataset
from common.datasets.fetch.transfer import fetch

__all__ = ["DamagedError", "Unpacked", "dataset", "fetch", "unpack"]
