"""All rows of the papers by one command: what would run, what runs, what came of it."""

from common.reproduce.items import TWINS, Item, config_sha256, items, of_paper

__all__ = ["TWINS", "Item", "config_sha256", "items", "of_paper"]
