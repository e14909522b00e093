"""Classify images with a trained run: python -m gan_fusion.predict --run RUN IMAGE..."""

from common import classification, errors

if __name__ == "__main__":
    errors.main(lambda: classification.main("gan_fusion"))
