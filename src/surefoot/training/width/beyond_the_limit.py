"""How far above the linear limit runs of a network were seen to come back, by its activations."""

from torch import nn

from surefoot.training.width._layers import unknown_modules

__all__ = ["beyond_the_limit", "recovery_report"]

# Largest rate times sharpness at the start of runs reported to come back, wide networks and squared loss (Lewkowycz et
# al. 2020); the linear limit is 2.
RELU, LINEAR = 12.0, 4.0
KINKED = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ReLU6)
SMOOTH = (nn.Tanh, nn.Identity)
PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Flatten, nn.Sequential)


def beyond_the_limit(model: nn.Module, criterion: object) -> str:
    """What is known of rates above the linear limit, for a reader; empty where nothing is.

    Initial sharpness gives a linear limit, 2/lambda: above it the loss grows at first. It is not where training fails.
    Wide networks were reported to spike, to move where the curvature is lower and to come back, up to 12/lambda with
    ReLU and 4/lambda without a kink (Lewkowycz et al. 2020, squared loss, plain gradient descent): a *heuristic*, which
    says nothing of normalisation, attention or recurrence.

    Parameters
    ----------
    model : Module
    criterion : object
        The loss; anything but torch's mean square is not known.
    """
    if criterion is not nn.functional.mse_loss and not isinstance(criterion, nn.MSELoss):
        return ""
    # only a Sequential of known layers is known: any other forward may do what no module shows
    if not isinstance(model, nn.Sequential) or unknown_modules(model, KINKED + SMOOTH + PLAIN):
        return ""
    return recovery_report(kinked=any(isinstance(m, KINKED) for m in model.modules()))


def recovery_report(*, kinked: bool) -> str:
    """The same of a network whose activations have a kink, or not."""
    largest = RELU if kinked else LINEAR
    kind = "ReLU" if kinked else "smooth"
    return (
        f"not where training fails: wide {kind} networks with squared loss were reported to come back from up to about "
        f"{largest:g}/sharpness, {largest / 2:g} times it, others to fail well below it (heuristic); short runs tell"
    )
