"""A run judged on other data: `python -m PKG.evaluate --run RUN --images FILE.csv|--dataset NAME`.

What is found lies under the run, in `external/<name>/`: predictions.csv and metrics.json as of the
run's own test images, and external.json, which says where the images are from, how their classes
were read, and what they share with those that were trained on.
"""

from common.external.command import main
from common.external.evaluating import evaluate
from common.external.others import Others, of_dataset, of_images
from common.external.scale import Match, match

__all__ = ["Match", "Others", "evaluate", "main", "match", "of_dataset", "of_images"]
