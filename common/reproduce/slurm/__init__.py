"""Jobs of a Slurm cluster, through submitit: submitted as arrays, requeued, watched in the queue.

All nodes must see the runs, the data, this project and its Python under the same paths.
"""

from common.reproduce.slurm.executor import Slurm, make
from common.reproduce.slurm.settings import Settings, flags, settings

__all__ = ["Settings", "Slurm", "flags", "make", "settings"]
