"""Export any package's run: python -m common.export --run RUN --data-dir D."""

from common import errors
from common.export import main

if __name__ == "__main__":
    errors.main(main)
