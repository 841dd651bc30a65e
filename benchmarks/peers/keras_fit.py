"""Plain Keras: the tutorials' model, `compile`, `fit` and `evaluate`, as a reader types them.

Only this differs from the tutorials:

* `fit` has no `validation_data` and prints nothing. Both cost time that the other scripts do not
  spend.
* `--seed` seeds weights, dropout and augmentation but not the order of examples: after
  `keras.utils.set_random_seed`, `fit` on arrays shows the same order in every epoch.
* The Fashion-MNIST tutorial's pixels have a channel axis of 1 here; Flatten takes it away.

The flowers tutorial's second network (`--augmentation=preset`) has dropout, its first has not.
No environment variable is set: what TensorFlow does by default is measured. `--precision=bfloat16`
is Keras's mixed precision.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Sequence

from benchmarks.peers._networks import NETWORKS
from benchmarks.peers._options import CannotRunError, load_arrays, parser, run
from benchmarks.peers._record import Record
from flowrate.errors import DataError

IMAGE_SIZE = (180, 180)


def main(argv: Sequence[str]) -> None:
    """Trains, evaluates and writes the record."""
    options = parser(__doc__).parse_args(argv)
    if options.augmentation == "preset" and options.model != "flowers_cnn":
        raise CannotRunError(
            f"--augmentation=preset --model={options.model}: only the flowers tutorial augments."
        )
    # Only now: TensorFlow takes seconds to load and writes lines of its own.
    import keras

    record = Record()
    # Keras draws the seeds of its layers from Python's generator, `fit` its order from elsewhere.
    random.seed(options.seed)
    if options.precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")

    with record.phase("data"):
        from_folder = options.data.is_dir()
        load = load_photos if from_folder else load_examples
        train, test, image_shape, num_classes, num_train_examples = load(options)
    with record.phase("build"):
        model = build_model(
            options.model, num_classes, image_shape, options.augmentation == "preset"
        )
        model.compile(
            optimizer="adam",
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    # The data set has its batches already.
    batch_size = None if from_folder else options.global_batch_size
    num_steps = math.ceil(num_train_examples / options.global_batch_size)
    with record.phase("train"):
        history = model.fit(
            *train, epochs=options.epochs, batch_size=batch_size, verbose=0,
            callbacks=[epoch_clock(record, num_steps)],
        )  # fmt: skip
    with record.phase("evaluate"):
        _, test_accuracy = model.evaluate(*test, batch_size=batch_size, verbose=0)
    record.write(
        options.output, test_accuracy=test_accuracy, train_loss=history.history["loss"][-1],
        num_parameters=model.count_params(),
    )  # fmt: skip


def build_model(name: str, num_classes: int, image_shape: tuple[int, int, int], augment: bool):
    """Returns the tutorial's model: float [N, *image_shape] -> logits [N, num_classes].

    Pixels go from 0 to 1, for `flowers_cnn` from 0 to 255: its tutorial scales inside the model,
    and its second network (`augment`) turns, flips and drops out too.
    """
    import keras
    from keras import layers

    network = NETWORKS[name]
    padding = "same" if network.pads(*image_shape[:2]) else "valid"
    body = []
    if augment:
        body += [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)]
        body.append(layers.RandomZoom(0.1))
    if name == "flowers_cnn":
        body.append(layers.Rescaling(1.0 / 255))
    for number, filters in enumerate(network.filters):
        body.append(layers.Conv2D(filters, network.kernel, activation="relu", padding=padding))
        if number in network.pooled:
            rounding = padding if network.rounds_up else "valid"
            body.append(layers.MaxPooling2D(padding=rounding))
    if augment:
        body.append(layers.Dropout(network.dropout_rate))
    body.append(layers.Flatten())
    body += [layers.Dense(width, activation="relu") for width in network.widths]
    # The mixed-precision guide keeps the last layer in float32; without a policy it is anyway.
    logits = layers.Dense(num_classes, dtype="float32")
    return keras.Sequential([keras.Input(image_shape), *body, logits])


def epoch_clock(record: Record, num_steps: int):
    """Returns the callback that times each epoch of `fit`; it does nothing between batches."""
    import keras

    started = 0.0

    def on_epoch_begin(epoch, logs):
        nonlocal started
        started = time.perf_counter()

    def on_epoch_end(epoch, logs):
        record.add_epoch(num_steps, time.perf_counter() - started)

    return keras.callbacks.LambdaCallback(on_epoch_begin, on_epoch_end)


def load_examples(options: argparse.Namespace) -> tuple:
    """Returns train, test, image shape, number of classes and of training examples.

    Train and test are (images, labels), what `fit` and `evaluate` take first.
    """
    data = load_arrays(options)
    train_images, test_images = data.train_images, data.test_images
    # The flowers tutorial scales inside its model, the others before.
    if options.model != "flowers_cnn":
        train_images, test_images = train_images / 255.0, test_images / 255.0
    return (
        (train_images, data.train_labels), (test_images, data.test_labels),
        train_images.shape[1:], data.num_classes, len(train_images),
    )  # fmt: skip


def load_photos(options: argparse.Namespace) -> tuple:
    """Returns what `load_examples` does; train and test are (dataset,), as in the tutorial."""
    import keras
    import tensorflow as tf

    def read(subset: str) -> tf.data.Dataset:
        return keras.utils.image_dataset_from_directory(
            options.data, validation_split=0.2, subset=subset, seed=123, image_size=IMAGE_SIZE,
            batch_size=options.global_batch_size, verbose=False,
        )  # fmt: skip

    try:
        train, test = read("training"), read("validation")
    except ValueError as error:
        raise DataError(f"--data={options.data}: {' '.join(str(error).split())}") from None
    num_classes = len(train.class_names)
    num_train_examples = len(train.file_paths)
    if options.max_steps_per_epoch:
        train = train.take(options.max_steps_per_epoch)
        limit = options.max_steps_per_epoch * options.global_batch_size
        num_train_examples = min(num_train_examples, limit)
    train = train.cache().shuffle(1000).prefetch(buffer_size=tf.data.AUTOTUNE)
    test = test.cache().prefetch(buffer_size=tf.data.AUTOTUNE)
    return (train,), (test,), (*IMAGE_SIZE, 3), num_classes, num_train_examples


if __name__ == "__main__":
    run(main)
