"""Layer 1: models. One public file per model; `_name.py` is machinery.

A model file defines `build_model(num_classes, image_shape) -> keras.Model`: from uint8 images
[N, height, width, channels] to logits [N, num_classes], with the scaling of pixels inside. A family
(`keras:NAME`) also takes `name`. CONTRIBUTING.md shows one.
"""

from flowrate.catalog import Catalog

MODELS = Catalog(package=__name__, kind="model", contract=("build_model",), families=("keras",))
