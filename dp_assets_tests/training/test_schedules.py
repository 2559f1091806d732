"""Learning rates against the values of the specification, and against Keras' own plateau callback."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.config.sections import StepSchedule
from dp_assets.training.schedules import learning_rate


def test_constant() -> None:
    assert [learning_rate("constant", 0.005, epoch, 3) for epoch in range(3)] == [0.005] * 3


def test_cosine_warms_up_for_five_epochs_and_decays() -> None:
    rates = [learning_rate("cosine", 0.6, epoch, 10) for epoch in range(10)]
    warm_up = [0.12, 0.15, 0.2, 0.3, 0.6]
    # 0.5 * (1 + cos(pi * t / 10)) at t = 5 ... 9, from a table of cosines
    decay = [0.5, 0.3454915028, 0.2061073739, 0.0954915028, 0.0244717419]
    np.testing.assert_allclose(rates, warm_up + [0.6 * d for d in decay], rtol=1e-8)


def test_step_table_counts_epochs_from_zero() -> None:
    table = StepSchedule(epoch=(2, 5), lr=(0.01, 0.001))
    rates = [learning_rate(table, 0.1, epoch, 7) for epoch in range(7)]
    assert rates == [0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001]


class Stub:
    """As much of a model as the callback wants."""

    def __init__(self, rate: float) -> None:
        self.optimizer = keras.optimizers.SGD(rate)


@settings(max_examples=40, deadline=None)
@given(
    losses=st.lists(st.sampled_from([1.0, 0.99995, 0.9, 0.8, 0.7, 1.2]), min_size=1, max_size=40),
    base=st.sampled_from([0.5, 0.01, 1e-3, 1e-4, 1e-5]),
)
def test_plateau_is_that_of_keras(losses: list[float], base: float) -> None:
    callback = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.1, patience=5, min_lr=1e-4)
    callback.set_model(Stub(base))
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        expected = float(callback.model.optimizer.learning_rate)
        assert learning_rate("plateau", base, epoch, 40, losses[:epoch]) == pytest.approx(expected, rel=1e-6)
        callback.on_epoch_end(epoch, {"val_loss": loss})


def test_plateau_without_any_validation_yet() -> None:
    assert learning_rate("plateau", 0.01, 3, 10) == 0.01
