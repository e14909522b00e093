"""Classify images with a trained run: python -m gan_fusion.predict --run RUN IMAGE..."""

from common import errors, prediction

if __name__ == "__main__":
    errors.main(lambda: prediction.main("gan_fusion"))
