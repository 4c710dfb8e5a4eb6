"""Learning rates over time, as published training scripts have them."""


def cmirnet_factor(iteration: int, iterations_per_epoch: int, epochs: int, first_epochs: int, drop: float) -> float:
    """Share of the highest learning rate: a straight line down to `drop`, then a polynomial of power 0.9 to 0.

    Args:
        iteration: counted from 0.
        iterations_per_epoch: steps of the optimiser.
        epochs: of the whole run.
        first_epochs: how long the line is; 5 with ResNet, 10 with Swin.
        drop: share at its end; 0.4 with ResNet, 0.5 with Swin.

    >>> cmirnet_factor(iteration=250, iterations_per_epoch=100, epochs=30, first_epochs=5, drop=0.4)
    0.7
    """
    epoch = iteration / iterations_per_epoch
    if epoch <= first_epochs:
        return 1 - (1 - drop) * epoch / first_epochs
    return drop * (1 - (epoch - first_epochs) / (epochs - first_epochs)) ** 0.9
