"""A run's model card, and a folder with all that another needs to use its model.

The card has the metadata that Hugging Face reads, what the model is for, its data and their
licence, scores with intervals, what may flatter them, and the checklists TRIPOD+AI and CLAIM,
answered where the run's files know the answer. Its scores are those of metrics.json.

public, answers -> text -> package
"""

from common.card.package import EXAMPLE, pack
from common.card.text import FILL, card

__all__ = ["EXAMPLE", "FILL", "card", "pack"]
