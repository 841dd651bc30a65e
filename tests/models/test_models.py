"""Models: their published sizes, and what they make of images of any shape."""

from __future__ import annotations

import numpy as np
import pytest

from flowrate.errors import ConfigError
from models import MODELS

PLAIN_MODELS = [name for name in MODELS.names() if name not in MODELS.families]
SHAPES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (20, 33, 3), (180, 180, 3)]
# Of torchvision's models, as its documentation lists them.
TORCHVISION_RESNET18 = 11_689_512


@pytest.fixture
def build(tf):
    """Returns a function: a name, classes and a shape -> the model."""

    def build_model(name: str, num_classes: int, image_shape: tuple[int, int, int]):
        module, argument = MODELS.load(name)
        extra = {"name": argument} if argument else {}
        return module.build_model(num_classes, image_shape, **extra)

    return build_model


@pytest.fixture
def mixed_precision(tf):
    import keras

    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(previous)


def make_images(image_shape: tuple[int, int, int], count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *image_shape), np.uint8)


def check_logits(model, num_classes: int, image_shape: tuple[int, int, int]) -> np.ndarray:
    """The model takes bytes and gives logits of these classes that tell the images apart."""
    assert model.input_shape == (None, *image_shape)
    assert model.output_shape == (None, num_classes)
    (inputs,) = model.inputs
    assert inputs.dtype == "uint8"
    logits = model(make_images(image_shape))
    assert logits.dtype == "float32"
    assert logits.shape == (2, num_classes)
    logits = logits.numpy()
    assert np.all(np.isfinite(logits))
    assert np.any(logits[0] != logits[1])
    return logits


@pytest.mark.parametrize(
    ("name", "image_shape", "num_classes", "count"),
    [
        ("mlp", (28, 28, 1), 10, 101_770),
        ("mlp16", (28, 28, 1), 10, 13_002),
        ("mlp64", (28, 28, 1), 10, 55_050),
        ("cnn", (28, 28, 1), 10, 93_322),
        ("cnn5x5", (28, 28, 1), 10, 279_850),
        ("flowers_cnn", (180, 180, 3), 5, 3_989_285),
    ],
)
def test_parameters(build, name, image_shape, num_classes, count):
    assert build(name, num_classes, image_shape).count_params() == count
    module, _ = MODELS.load(name)
    assert f"{count:,} parameters" in module.__doc__


@pytest.mark.parametrize(
    ("image_shape", "count"),
    [
        ((224, 224, 3), TORCHVISION_RESNET18),
        # The small stem has a 3 x 3 kernel in the place of the 7 x 7 one.
        ((64, 64, 3), TORCHVISION_RESNET18 - 64 * 3 * (7 * 7 - 3 * 3)),
    ],
)
def test_parameters_of_resnet18(build, image_shape, count):
    model = build("resnet18", 1000, image_shape)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == count


@pytest.mark.parametrize(("side", "last_side"), [(224, 7), (65, 3), (64, 8), (28, 4)])
def test_resnet18_halves_its_images_as_in_the_paper(build, side, last_side):
    model = build("resnet18", 10, (side, side, 3))
    *_, pooling, _ = model.layers
    assert pooling.input.shape == (None, last_side, last_side, 512)


@pytest.mark.parametrize("image_shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", PLAIN_MODELS)
def test_every_model_takes_every_shape(build, name, image_shape):
    check_logits(build(name, 7, image_shape), 7, image_shape)


@pytest.mark.parametrize("name", PLAIN_MODELS)
def test_logits_are_float32_under_mixed_precision(build, mixed_precision, name):
    model = build(name, 7, (32, 32, 3))
    check_logits(model, 7, (32, 32, 3))
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    kernels = [layer for layer in model.layers if hasattr(layer, "kernel")]
    assert {layer.compute_dtype for layer in kernels[:-1]} == {"bfloat16"}
    assert kernels[-1].compute_dtype == "float32"


@pytest.mark.parametrize("side", [1, 17, 18])
@pytest.mark.parametrize("name", PLAIN_MODELS)
def test_no_image_is_too_small(build, name, side):
    check_logits(build(name, 3, (side, side, 3)), 3, (side, side, 3))


@pytest.mark.parametrize("name", PLAIN_MODELS)
def test_the_output_is_not_squeezed(build, name):
    """Logits, not probabilities: they double with the last layer's weights."""
    model = build(name, 4, (8, 8, 1))
    before = check_logits(model, 4, (8, 8, 1))
    *_, kernel, bias = model.trainable_variables
    kernel.assign(2 * kernel)
    bias.assign([0.0, 0.0, 0.0, 100.0])
    after = model(make_images((8, 8, 1))).numpy()
    np.testing.assert_allclose(after, 2 * before + [0, 0, 0, 100], rtol=1e-4, atol=1e-4)


def test_mlp_is_what_it_says(build):
    model = build("mlp", 10, (28, 28, 1))
    hidden, hidden_bias, last, last_bias = (v.numpy() for v in model.trainable_variables)
    images = make_images((28, 28, 1))
    features = np.maximum(images.reshape(2, -1) / 255 @ hidden + hidden_bias, 0)
    np.testing.assert_allclose(model(images), features @ last + last_bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted({*PLAIN_MODELS} - {"efficientnet_lite0"}))
def test_pixels_come_from_0_to_1(build, name):
    import keras

    model = build(name, 4, (8, 8, 3))
    pixels = keras.Model(model.input, model.get_layer("pixels").output)
    images = np.array([0, 51, 255], np.uint8).reshape(3, 1, 1, 1) * np.ones((8, 8, 3), np.uint8)
    np.testing.assert_allclose(pixels(images)[:, 0, 0, 0], [0, 0.2, 1], rtol=1e-6)


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "EfficientNetB0"])
def test_models_of_keras_applications(build, name):
    model = build(f"keras:{name}", 6, (32, 32, 3))
    check_logits(model, 6, (32, 32, 3))
    # The same one built by hand, without weights of its own for scaling.
    import keras

    plain = getattr(keras.applications, name)(weights=None, classes=6, input_shape=(32, 32, 3))
    assert model.count_params() == plain.count_params()


def test_models_of_keras_applications_give_float32(build, mixed_precision):
    model = build("keras:MobileNet", 6, (32, 32, 1))
    check_logits(model, 6, (32, 32, 1))
    assert model.layers[5].compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    "name", ["MobileNet", "MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0"]
)
def test_the_first_convolution_meets_scaled_pixels(build, name):
    """Some of keras.applications scale pixels themselves and some do not: never twice."""
    import keras

    model = build(f"keras:{name}", 3, (32, 32, 3))
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    pixels = keras.Model(model.input, first.input)(make_images((32, 32, 3))).numpy()
    assert 0.25 < pixels.std() < 1.5
    assert np.abs(pixels).max() < 3


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MobilNetV2", " Did you mean 'MobileNetV2'?"),
        ("vgg16", " Did you mean 'VGG16'?"),
        ("resnet50", " Did you mean 'ResNet50'?"),
        ("qq", ""),
    ],
)
def test_names_unknown_to_keras_applications(build, name, hint):
    with pytest.raises(ConfigError) as caught:
        build(f"keras:{name}", 10, (32, 32, 3))
    message = str(caught.value)
    assert message.startswith(
        f"--model=keras:{name}: keras.applications has no such model.{hint} There are: "
    )
    listed = message.partition("There are: ")[2].removesuffix(".").split(", ")
    assert {"ResNet50", "VGG16", "MobileNetV2"} <= set(listed)
    assert listed == sorted(listed)


@pytest.mark.parametrize(("name", "least"), [("MobileNetV2", "32x32"), ("Xception", "71x71")])
def test_images_too_small_for_keras_applications(build, name, least):
    with pytest.raises(ConfigError) as caught:
        build(f"keras:{name}", 10, (8, 8, 3))
    message = str(caught.value)
    assert message.startswith(f"--model=keras:{name} cannot take [8, 8, 3] images: ")
    assert least in message
    assert message.endswith(" Set --image_size, or choose another model.")
    assert "\n" not in message


@pytest.mark.parametrize(
    "name",
    ["VGG16", "MobileNetV2", "EfficientNetB0", pytest.param("DenseNet121", marks=pytest.mark.slow)],
)
def test_pixels_are_those_that_the_imagenet_weights_were_trained_on(build, tf, name, tmp_path):
    """Keras's own preprocessing and network give the same features from the same weights."""
    import keras

    from models import keras as family

    shape = (64, 64, 3)
    keras.utils.set_random_seed(0)
    if name.startswith("EfficientNetB"):
        # What Keras does where it loads its file: a second scaling, and the file's normalization.
        reference = imagenet_efficientnet(keras, shape, tmp_path)
    else:
        reference = getattr(keras.applications, name)(
            weights=None, include_top=False, pooling="avg", input_shape=shape
        )
    weights = [weight.numpy() for weight in reference.weights]
    original = family._build
    family._build = lambda *_, **__: reference
    try:
        _, ours = family.imagenet_weights(shape, name)
    finally:
        family._build = original
    model = build(f"keras:{name}:imagenet", 5, shape)
    for weight, value in zip(model.weights, ours):
        weight.assign(value)
    features = keras.Model(model.input, model.layers[-1].input)
    images = make_images(shape)
    module = __import__("sys").modules[getattr(keras.applications, name).__module__]
    expected = reference(module.preprocess_input(images.astype(np.float32)))
    np.testing.assert_allclose(features(images), expected, rtol=1e-3, atol=1e-4)
    assert len(weights) == len(ours)


def imagenet_efficientnet(keras, shape, folder):
    """Returns EfficientNetB0 as Keras builds it for its ImageNet file, with random weights."""
    plain = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=shape)
    plain.weights[0].assign([0.485, 0.456, 0.406])
    plain.weights[1].assign([0.229, 0.224, 0.225])
    path = folder / "efficientnetb0.weights.h5"
    plain.save_weights(path)
    from keras.src.utils import file_utils

    original = file_utils.get_file
    file_utils.get_file = lambda *_, **__: str(path)
    try:
        return keras.applications.EfficientNetB0(
            weights="imagenet", include_top=False, pooling="avg", input_shape=shape
        )
    finally:
        file_utils.get_file = original
