"""Classify images with a trained run: python -m wrn_edge.predict --run RUN IMAGE..."""

from common import errors, prediction

if __name__ == "__main__":
    errors.main(lambda: prediction.main("wrn_edge"))
