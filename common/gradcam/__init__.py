"""Grad-CAM and Grad-CAM++: where in the image a network found its class.

Works on any layer with a feature map, in any built model of one image, on the TensorFlow
and the JAX backend. The layer's output is caught while the whole model runs, so that skip
connections and dense concatenations around the layer count; one run serves any number of
layers. The methods are those of [1]_ and [2]_, `sanity_check` follows [3]_, `pointing_game` [4]_.

References
----------
.. [1] Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
   Localization", ICCV 2017, equations 1 and 2.
.. [2] Chattopadhyay et al., "Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep
   Convolutional Networks", WACV 2018, equation 19.
.. [3] Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018.
.. [4] Zhang et al., "Top-Down Neural Attention by Excitation Backprop", IJCV 2018 (pointing game).
"""

from common.gradcam.checks import pointing_game, sanity_check
from common.gradcam.layers import stages, title, titled_stages
from common.gradcam.maps import METHODS, Method, by_stage, heatmaps
from common.gradcam.picture import overlay

__all__ = [
    "METHODS",
    "Method",
    "by_stage",
    "heatmaps",
    "overlay",
    "pointing_game",
    "sanity_check",
    "stages",
    "title",
    "titled_stages",
]
