"""PyTorch: the same networks and batches, Keras's first weights, eager and compiled alike."""

from __future__ import annotations

import contextlib
import math

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from benchmarks.peers._networks import NETWORKS  # noqa: E402
from benchmarks.peers._torch_compiled import compile_step  # noqa: E402
from benchmarks.peers._torch_network import build_model  # noqa: E402
from benchmarks.peers.torch_loop import eager_step, evaluate, train_epoch  # noqa: E402


@pytest.mark.parametrize("model", ["mlp", pytest.param("cnn", marks=pytest.mark.slow)])
def test_trains_in_a_process(model, run_peer, digits_file, check_record, digits_parameters):
    ended = run_peer("torch_loop", f"--data={digits_file}", f"--model={model}", "--epochs=6")
    check_record(ended, epochs=6, num_parameters=digits_parameters(model))
    assert "compile" not in ended.record["phases"]


@pytest.mark.slow
def test_trains_compiled_in_a_process(run_peer, digits_file, check_record, digits_parameters):
    flags = (f"--data={digits_file}", "--model=mlp", "--epochs=6", "--compiled")
    ended = run_peer("torch_loop", *flags)
    check_record(ended, epochs=6, num_parameters=digits_parameters("mlp"))
    assert ended.record["phases"]["compile"] > 0


@pytest.mark.slow
def test_no_compiler_is_a_reason_in_one_line(run_peer, digits_file, tmp_path):
    nothing = {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    ended = run_peer(
        "torch_loop", f"--data={digits_file}", "--model=mlp16", "--compiled", environment=nothing
    )
    assert ended.status == 3
    assert ended.errors[-1].startswith("error: torch.compile does not work here: ")
    assert not any("Traceback" in line for line in ended.errors)


def test_augmentation_is_refused(run_peer, digits_file):
    ended = run_peer("torch_loop", f"--data={digits_file}", "--model=mlp", "--augmentation=preset")
    assert (ended.status, len(ended.errors), ended.record) == (3, 1, None)


def test_parameters_are_those_of_models(network):
    name, num_classes, image_shape, num_parameters = network
    model = build_model(NETWORKS[name], num_classes, image_shape)
    assert sum(parameter.numel() for parameter in model.parameters()) == num_parameters
    assert model(torch.zeros(2, *image_shape)).shape == (2, num_classes)


@pytest.mark.parametrize("side", [8, 9, 17, 18])
@pytest.mark.parametrize("name", ["cnn", "cnn5x5", "flowers_cnn"])
def test_small_and_odd_sides_are_padded_as_in_models(name, side):
    from models import MODELS

    ours = MODELS.load(name)[0].build_model(10, (side, side, 1)).count_params()
    model = build_model(NETWORKS[name], 10, (side, side, 1))
    assert sum(parameter.numel() for parameter in model.parameters()) == ours


def test_weights_start_as_in_keras():
    model = build_model(NETWORKS["cnn"], 10, (28, 28, 1))
    kernel = model[4].weight  # 3 x 3, 32 to 64.
    limit = math.sqrt(6 / (9 * (32 + 64)))
    assert 0.98 * limit < kernel.abs().max() <= limit
    assert kernel.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)
    assert all(not value.any() for name, value in model.named_parameters() if "bias" in name)


def test_each_epoch_shows_each_example_once_in_another_order():
    epochs = []
    for _ in range(2):
        seen = []

        def step(images, labels, seen=seen):
            torch.testing.assert_close(images[:, 0], labels.float())
            seen.append(labels)
            return torch.zeros(())

        train_epoch(step, torch.arange(70.0)[:, None], torch.arange(70), 32)
        assert list(map(len, seen)) == [32, 32, 6]
        epochs.append(torch.cat(seen).tolist())
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(70))
    assert epochs[0] != epochs[1]


def test_every_test_example_counts_once():
    model = torch.nn.Flatten()
    images = torch.eye(3)[torch.arange(300) % 3]
    labels = torch.where(torch.arange(300) < 7, (torch.arange(300) + 1) % 3, torch.arange(300) % 3)
    assert evaluate(model, images, labels, contextlib.nullcontext) == 293 / 300


@pytest.mark.slow
def test_the_compiled_step_equals_the_eager_one():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(48, 8, 8, 1, generator=generator)
    labels = torch.randint(0, 10, (48,), generator=generator)
    batches = [(images[:32], labels[:32]), (images[32:], labels[32:])]
    results = []
    for compiled in (False, True):
        torch.manual_seed(1)
        model = build_model(NETWORKS["mlp16"], 10, (8, 8, 1))
        if compiled:
            step, _ = compile_step(model, contextlib.nullcontext, batches)
        else:
            step = eager_step(model, contextlib.nullcontext)
        losses = [step(*batch).item() for batch in batches * 3]
        results.append((losses, [value.detach() for value in model.parameters()]))
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-4)
    for eager, compiled in zip(results[0][1], results[1][1]):
        # Epsilon stands in another place, which shows where gradients are next to nothing, as of a
        # unit that hardly fires: its weights differ by about a step of Adam, 0.001.
        difference = (eager - compiled).abs()
        assert (difference < 1e-4).float().mean() > 0.9
        assert difference.max() < 2e-3
