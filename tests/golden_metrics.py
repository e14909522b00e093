"""Every key and value of metrics.json, pinned in golden_metrics.json.

``python tests/golden_metrics.py`` writes it anew, from the predictions that test_metrics.py makes
up. Read the difference before it is committed.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")
_WRITE = "HISTOPAPERS_WRITE_GOLDEN_METRICS"


def pinned(found: dict[str, Any]) -> dict[str, Any]:
    """What the file says; it says `found` where it is to be written."""
    if os.environ.get(_WRITE):
        FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return json.loads(FILE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    import pytest

    os.environ[_WRITE] = "1"
    sys.exit(pytest.main(["-q", "-k", "keys_their_order", str(FILE.with_name("test_metrics.py"))]))
