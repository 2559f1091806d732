"""The optimizers that networks are trained with, from a learning rate."""

import keras


def nesterov_sgd(learning_rate: float) -> keras.Optimizer:
    """Stochastic gradient descent with Nesterov momentum 0.9."""
    return keras.optimizers.SGD(learning_rate, momentum=0.9, nesterov=True)


def adam(learning_rate: float) -> keras.Optimizer:
    """Adam with the customary constants."""
    return keras.optimizers.Adam(learning_rate)
