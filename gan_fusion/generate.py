"""Write images that a trained GAN draws, with the index that the classifier's training reads.

python -m gan_fusion.generate --run RUN --count 640 --output FOLDER
"""

from common import errors
from gan_fusion.gan.generate import STATEMENT, generate, load_generator, load_run, main

__all__ = ["STATEMENT", "generate", "load_generator", "load_run", "main"]

if __name__ == "__main__":
    errors.main(main)
