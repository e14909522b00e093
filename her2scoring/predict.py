"""Classify images with a trained run: python -m her2scoring.predict --run RUN IMAGE..."""

from common import classification, errors

if __name__ == "__main__":
    errors.main(lambda: classification.main("her2scoring"))
