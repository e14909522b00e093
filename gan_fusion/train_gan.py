"""Train the GAN on the training images, measure its images as it goes, keep its generator.

python -m gan_fusion.train_gan --preset small --data-dir D
"""

from common import errors
from gan_fusion.gan.train import main, train

__all__ = ["main", "train"]

if __name__ == "__main__":
    errors.main(main)
