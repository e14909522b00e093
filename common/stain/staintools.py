"""The engine `staintools`: calls into that package, which an extra installs.

Images are copied first: the package writes into what it is given.
"""

from __future__ import annotations

import functools
import threading

import numpy as np

from common.errors import InputError

_LOCK = threading.Lock()


class _StainTools:
    """The parts of the package that are called."""

    def __init__(self) -> None:
        import staintools
        from staintools.miscellaneous.exceptions import TissueMaskException
        from staintools.miscellaneous.get_concentrations import get_concentrations

        self.extractors = {
            "macenko": staintools.MacenkoStainExtractor,
            "vahadane": staintools.VahadaneStainExtractor,
        }
        self.reinhard = staintools.ReinhardColorNormalizer
        self.no_tissue = TissueMaskException
        self.get_concentrations = get_concentrations


@functools.cache
def package() -> _StainTools:
    """Import StainTools; InputError if it is not installed."""
    try:
        return _StainTools()
    except ImportError as error:
        raise InputError(
            f"engine 'staintools' needs StainTools and spams-bin ({error}): install the extra, "
            "pip install \"histopapers[stain]\", or take engine='own', preset='staintools'"
        ) from None


def matrix(method: str, image: np.ndarray) -> np.ndarray | None:
    """Stain matrix of an image.

    Parameters
    ----------
    method : {"macenko", "vahadane"}
    image : ndarray, uint8, shape (H, W, 3), RGB

    Returns
    -------
    ndarray, shape (2, 3), or None
        None where the package finds no tissue or no two stains.
    """
    # Its learner is not made for threads.
    with _LOCK:
        try:
            return package().extractors[method].get_stain_matrix(image.copy())
        except (package().no_tissue, np.linalg.LinAlgError):
            return None


def concentrations(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Concentrations of two stains.

    Parameters
    ----------
    image : ndarray, uint8, shape (H, W, 3), RGB
    matrix : ndarray, shape (2, 3)

    Returns
    -------
    ndarray, shape (H, W, 2)
    """
    with _LOCK:
        found = package().get_concentrations(image.copy(), matrix)
    return found.reshape(*image.shape[:2], 2)


def reinhard(image: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Normalise by the package's Reinhard.

    Parameters
    ----------
    image : ndarray, uint8, shape (H, W, 3), RGB
    mean, deviation : ndarray, shape (3,)
        The target's, in CIELAB.

    Returns
    -------
    ndarray, uint8, shape (H, W, 3), RGB
    """
    target = package().reinhard()
    target.target_means = [np.full((1, 1), x) for x in mean]
    target.target_stds = [np.full((1, 1), x) for x in deviation]
    return target.transform(image.copy())
