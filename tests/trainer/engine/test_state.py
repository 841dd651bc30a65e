"""State to and from arrays; statistics of replicas are merged."""

from __future__ import annotations

import re

import numpy as np
import pytest

from flowrate.errors import RunDirError
from trainer.checkpoints.progress import Progress
from trainer.checkpoints.store import Checkpoint


@pytest.fixture(scope="module")
def make_state(tf):
    """Returns a function: a state of a small model with BatchNorm on so many replicas."""
    import keras

    from trainer.config import TrainConfig
    from trainer.distributed.strategy import build_strategy
    from trainer.engine.optimizers import build_optimizer, build_schedule
    from trainer.engine.state import TrainState

    def make(num_replicas: int, width: int = 3, **flags):
        replicas = {"strategy": "mirrored", "virtual_devices": num_replicas}
        config = TrainConfig(**(replicas if num_replicas > 1 else {}), **flags)
        strategy = build_strategy(config)
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = keras.Sequential(
                [
                    keras.Input((4,)),
                    keras.layers.Dense(width),
                    keras.layers.BatchNormalization(momentum=0.5),
                ]
            )
            schedule = build_schedule(config, 10)
            optimizer = build_optimizer(config, schedule, model.trainable_variables)
        return TrainState(model, optimizer, strategy, Progress())

    return make


def run_forward(tf, state, seed: int = 0):
    """Runs the model in training mode, each replica on data of its own."""

    def replica():
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        data = tf.random.stateless_normal([8, 4], [seed, number]) + tf.cast(number, tf.float32)
        state.model(data, training=True)

    tf.function(lambda: state.strategy.run(replica))()


def replica_values(state):
    variable = state.model.non_trainable_weights[0]
    return [v.numpy() for v in state.strategy.experimental_local_results(variable.value)]


def test_statistics_are_the_mean_over_replicas(tf, make_state):
    state = make_state(4)
    run_forward(tf, state)
    before = replica_values(state)
    assert not np.allclose(before[0], before[1])  # TensorFlow keeps them apart
    arrays = state.to_arrays()
    expected = np.mean(before, axis=0)
    own, name = sorted(
        (name for name in arrays if name.endswith("moving_mean")), key=len, reverse=True
    )
    assert own == f"replica/{name}"
    np.testing.assert_allclose(arrays[name], expected, rtol=1e-6)
    np.testing.assert_array_equal(arrays[own], before)
    np.testing.assert_array_equal(replica_values(state), before)  # A save changes nothing.
    with state.weights_to_evaluate():
        for value in replica_values(state):
            np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("num_replicas", [2, 3])
def test_neither_a_save_nor_going_on_from_it_changes_a_bit(tf, make_state, num_replicas):
    undisturbed, saved, resumed = (make_state(num_replicas, global_batch_size=24) for _ in range(3))
    for state in (undisturbed, saved):
        run_forward(tf, state, seed=1)
    resumed.restore(Checkpoint(saved.to_arrays(), Progress(step=1)))
    for state in (undisturbed, saved, resumed):
        run_forward(tf, state, seed=2)
    expected = undisturbed.to_arrays()
    for state in (saved, resumed):
        for name, array in state.to_arrays().items():
            np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.parametrize("saved_on", [1, 2, 4])
@pytest.mark.parametrize("restored_on", [1, 2, 4])
def test_arrays_do_not_depend_on_the_number_of_replicas(tf, make_state, saved_on, restored_on):
    state = make_state(saved_on, optimizer="adam", ema_decay=0.9)
    run_forward(tf, state)
    arrays = state.to_arrays()
    other = make_state(restored_on, optimizer="adam", ema_decay=0.9)
    progress = Progress(step=5)
    other.restore(Checkpoint(arrays, progress))
    assert other.progress is progress
    restored = other.to_arrays()
    is_same_number = saved_on == restored_on
    names = [name for name in arrays if is_same_number or not name.startswith("replica/")]
    assert {*names} <= restored.keys()
    for name in names:
        np.testing.assert_array_equal(restored[name], arrays[name], err_msg=name)


def test_what_replicas_had_must_fit_the_model(tf, make_state):
    state = make_state(2)
    arrays = state.to_arrays()
    (name,) = [name for name in arrays if re.fullmatch("replica/.*moving_mean", name)]
    for shape in ((2, 5), (2,)):
        spoilt = {**arrays, name: np.zeros(shape, np.float32)}
        with pytest.raises(RunDirError, match="moving_mean does not match"):
            state.restore(Checkpoint(spoilt, Progress(step=3)))


def test_a_checkpoint_of_another_model_is_refused(make_state):
    state = make_state(1)
    with pytest.raises(RunDirError, match="of another model or version: model/"):
        make_state(1, width=5).restore(Checkpoint(state.to_arrays(), Progress(step=3)))


def test_averaged_weights_are_used_and_given_back(tf, make_state):
    state = make_state(2, ema_decay=0.5, optimizer="sgd", learning_rate=0.1)
    weight = state.model.trainable_variables[0]
    average = state.optimizer._model_variables_moving_average[0]
    average.assign(np.full(average.shape, 7.0))
    trained = weight.numpy()
    with state.weights_to_evaluate():
        np.testing.assert_array_equal(weight.numpy(), 7.0)
    np.testing.assert_array_equal(weight.numpy(), trained)
