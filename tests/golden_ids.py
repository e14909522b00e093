"""Ids by which runs of every preset are known, pinned in golden_ids.json.

A setting's first default and a preset's id never change: every result that was ever made is found
by them. ``python tests/golden_ids.py`` adds what is new (a setting, a preset) and changes nothing.
"""

import importlib
import json
from pathlib import Path

from common import config as configuration
from common import runs

FILE = Path(__file__).with_suffix(".json")
CONFIGS = {
    "her2scoring": ("her2scoring.config", "Config"),
    "breakhis": ("breakhis.config", "Config"),
    "ernet": ("ernet.config", "Config"),
    "gan_fusion": ("gan_fusion.config", "Config"),
    "gan_fusion, GAN": ("gan_fusion.gan.config", "GanConfig"),
    "wrn_edge": ("wrn_edge.config", "Config"),
}


def present() -> dict:
    """What the code says now: first defaults, and the id of each preset on some images."""
    found = {}
    for title, (module, name) in CONFIGS.items():
        module = importlib.import_module(module)
        first = configuration.first_defaults(getattr(module, name))
        ids = {
            preset: runs.run_id(
                title.split(",")[0], configuration.to_dict(config), "images", "imagenet", first
            )
            for preset, config in module.PRESETS.items()
        }
        found[title] = {"first": first, "ids": ids}
    return found


def pinned() -> dict:
    """What golden_ids.json says."""
    return json.loads(FILE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    now, before = present(), pinned() if FILE.exists() else {}
    for title, kinds in now.items():
        for kind, values in kinds.items():
            values.update(before.get(title, {}).get(kind, {}))
    FILE.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
