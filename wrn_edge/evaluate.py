"""Recompute a run's metrics from its predictions.csv: python -m wrn_edge.evaluate --run RUN."""

from common import errors, evaluation

if __name__ == "__main__":
    errors.main(lambda: evaluation.main("wrn_edge"))
