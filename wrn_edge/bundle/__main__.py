"""Bundle an exported run of wrn_edge: python -m wrn_edge.bundle --run RUN."""

from common import errors
from wrn_edge.bundle import main

if __name__ == "__main__":
    errors.main(main)
