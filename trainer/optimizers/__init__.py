"""The optimizers: one public file each, found by its name.

An optimizer's file defines

    build(shared, *, momentum, weight_decay) -> keras.Optimizer

where `shared` are the arguments that all of Keras's optimizers take: the learning rate, clipping
and the moving average. `momentum` and `weight_decay` are the flags of these names.
"""

from flowrate.catalog import Catalog

OPTIMIZERS = Catalog(package=__name__, kind="optimizer", contract=("build",))
