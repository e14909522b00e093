"""Metrics of a run, again or on other data: python -m wrn_edge.evaluate --run RUN."""

from common import errors, external

if __name__ == "__main__":
    errors.main(lambda: external.main("wrn_edge"))
