"""The curvature of a wide network at its initialisation, predicted from what can be read off it: no Hessian."""

from torch import Tensor, nn

from surefoot.checks import checked
from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.spectra import Spectrum, predict_wide
from surefoot.spectra.random_matrices.wide_layers import WIDE, Loss
from surefoot.training.model import Supervised
from surefoot.training.width._initial import bias_of, check_initial, variance_of
from surefoot.training.width._layers import abstention, is_known, layers_in_sequence

# Activations with a kernel in `spectra.random_matrices`, and layers that change nothing of it.
ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.GELU: "gelu"}
# Layers that change no value in eval mode.
SILENT = (nn.Identity, nn.Flatten, nn.Dropout)
# All layers that the theory covers.
KNOWN = (nn.Linear, *ACTIVATIONS, *SILENT)
LOSSES: dict[str, Loss] = {
    **dict.fromkeys(("mse_loss", "MSELoss"), "squared"),
    **dict.fromkeys(("cross_entropy", "CrossEntropyLoss"), "cross-entropy"),
}  # fmt: skip
# The reason for no prediction, by a part of the class's name in torch.nn; other layers are not known at all.
REASONS = {
    "BatchNorm": "normalises over the batch",
    "Norm": "normalises each sample",
    "Attention": "is attention",
    "Transformer": "is attention",
    "Conv": "shares its weights between places",
    "RNN": "shares its weights between times",
    "LSTM": "shares its weights between times",
    "GRU": "shares its weights between times",
    "Embedding": "looks its output up",
}


@checked
def predict_network(model: nn.Module, loss: Supervised, inputs: Tensor) -> Spectrum:
    """The largest Gauss-Newton eigenvalue of a wide fully connected model at initialisation, by `predict_wide`.

    Widths, activation, and each layer's variance of weights and biases are read off the model; one forward pass,
    without gradients, shows that its layers are applied one after the other. An *estimate* of the mean over networks
    initialised like this one, with the accuracy and the limits of `surefoot.spectra.predict_wide`.

    It abstains (raises, naming the layer) from what that theory does not cover: normalisation, attention, convolution,
    recurrence, sums, tied or frozen weights, hidden layers narrower than 128, and weights that are visibly not
    independent with mean zero, so not at initialisation: by their mean, or by a largest singular value away from the
    edge of Marchenko and Pastur. Weights that training has moved by less than that pass unseen.

    Parameters
    ----------
    model : Module
        Network of Linear, one kind of ReLU, Tanh or GELU between them, and Flatten, Identity and Dropout in
        eval mode, however nested. It is not changed.
    loss : Supervised
        Loss from `supervised`, of mean squares or cross-entropy (without class weights).
    inputs : Tensor, shape (n, ...)
        Inputs of the model, n from 2 to 4000; targets play no part.

    Returns
    -------
    Spectrum
        Provenance "predicted", kind "curvature", scope "local"; both ends of `largest` are one estimate.

    Raises
    ------
    InvalidType
        If model, loss or inputs are of another kind.
    InvalidInput
        If there is no prediction, with the layer and the reason.
    NotFinite
        If weights or inputs hold NaN or infinity.

    References
    ----------
    V. A. Marchenko, L. A. Pastur, Mathematics of the USSR-Sbornik 1 (1967); I. M. Johnstone, Annals of Statistics 29
    (2001), for the edge's fluctuation.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.width._predict import predict_network
    >>> from surefoot.training.model import supervised
    >>> model = torch.nn.Sequential(torch.nn.Linear(16, 512), torch.nn.ReLU(), torch.nn.Linear(512, 1))
    >>> x = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    >>> predict_network(model, supervised(torch.nn.functional.mse_loss), x).provenance
    'predicted'
    """
    if not inputs.is_floating_point():
        raise InvalidType(f"inputs must be floating-point numbers, shape (n, ...), without targets; got {inputs.dtype}")
    if inputs.ndim < 2 or inputs.shape[0] < 2:
        raise InvalidInput(f"inputs must have shape (n, ...) with n >= 2; got {tuple(inputs.shape)}")
    if loss.name not in LOSSES:
        raise InvalidInput(f"no prediction for {loss.name}: only for mean squares (mse_loss) and cross_entropy")
    if loss.option("weight") is not None:
        raise InvalidInput(f"no prediction for {loss.name} with class weights; leave them out")
    _check_parts(model)
    _check_values(model, inputs)
    first, layers, activation = _read(model, inputs)
    for name, layer in layers:
        check_initial(name, layer)
    return predict_wide(
        [layer.out_features for _, layer in layers[:-1]],
        first.double().cpu().numpy(),
        activation=activation,
        weight_variance=[variance_of(layer.weight, layer) for _, layer in layers],
        bias_variance=[None if (bias := bias_of(layer)) is None else variance_of(bias, layer) for _, layer in layers],
        outputs=layers[-1][1].out_features,
        loss=LOSSES[loss.name],
    )


def _check_parts(model: nn.Module) -> None:
    """Refuse a part that is not known and does not just hold others, and a parameter that is shared or not trained."""
    for name, part in model.named_modules():
        why = _reason(part)
        if not is_known(part, KNOWN) and (why or next(part.children(), None) is None):
            raise abstention(name, part, why or f"is none of {', '.join(kind.__name__ for kind in KNOWN)}")
    owners: dict[int, str] = {}
    for name, part in model.named_modules():
        # a random network has no single curvature
        if is_known(part, (nn.Dropout,)) and part.training and getattr(part, "p", 0.0) > 0:
            raise abstention(name, part, "is in train mode, so that the network is random; call model.eval()")
        for key, parameter in part.named_parameters(recurse=False, remove_duplicate=False):
            if not is_known(part, (nn.Linear,)) or key not in ("weight", "bias"):
                raise abstention(name, part, f"has the parameter {key!r}, which no plain Linear layer has")
            if id(parameter) in owners:
                raise abstention(name, part, f"shares its {key} with {owners[id(parameter)]!r}: tied weights")
            if not parameter.requires_grad:
                raise abstention(name, part, f"has a frozen {key}; the prediction is of all parameters together")
            owners[id(parameter)] = name


def _reason(part: nn.Module) -> str | None:
    """Why a layer of torch's, or one derived from it, is not covered; None where that is not known."""
    names = [kind.__name__ for kind in type(part).__mro__ if kind.__module__.startswith("torch.nn.modules")]
    return next((why for key, why in REASONS.items() if any(key in name for name in names)), None)


def _check_values(model: nn.Module, inputs: Tensor) -> None:
    for name, tensor in (*model.named_parameters(), ("inputs", inputs)):
        if tensor.is_meta:
            raise InvalidInput(f"{name} is on the meta device and has no values; predict_wide takes statistics alone")
        if not tensor.isfinite().all():
            raise NotFinite(f"{name} holds NaN or infinite entries")


def _read(model: nn.Module, inputs: Tensor) -> tuple[Tensor, list[tuple[str, nn.Linear]], str]:
    """The first Linear layer's input, the Linear layers in their order, and the activation between them."""
    chain = layers_in_sequence(model, inputs, KNOWN)
    layers = [(step.name, step.layer) for step in chain if isinstance(step.layer, nn.Linear)]
    idle = {name for name, part in model.named_modules() if isinstance(part, nn.Linear)} - {name for name, _ in layers}
    if idle:
        raise InvalidInput(f"no prediction: {min(idle)!r} (Linear) has no part in the output; remove it")
    if len(layers) < 2:
        raise InvalidInput(
            "no prediction: the model has no hidden layer; a linear one is measured at once (gauss_newton)"
        )
    first = next(step.inputs for step in chain if isinstance(step.layer, nn.Linear))
    if first is None or first.shape != (len(inputs), layers[0][1].in_features):
        shape = None if first is None else tuple(first.shape)
        raise abstention(*layers[0], f"is given {shape}, not one row for each of {len(inputs)} samples")
    for name, layer in layers[:-1]:
        if layer.out_features < WIDE:
            raise abstention(
                name, layer, f"is {layer.out_features} wide; below {WIDE} the theory of wide ones is rough"
            )
    return first, layers, _activation([step.layer for step in chain])


def _activation(steps: list[nn.Module]) -> str:
    """The name of the activation that follows each hidden layer once."""

    def name(step: nn.Module) -> str:
        return next((name for kind, name in ACTIVATIONS.items() if isinstance(step, kind)), "linear")

    start = next(i for i, step in enumerate(steps) if isinstance(step, nn.Linear))
    names = [name(step) for step in steps[start:] if not isinstance(step, SILENT)]
    if names[-1] != "linear":
        raise InvalidInput(f"no prediction: after the last Linear comes {names[-1]}; it must return what Linear does")
    if set(names) == {"linear"}:
        return "identity"
    if names != ["linear", *[names[1], "linear"] * (len(names) // 2)]:
        raise InvalidInput(
            f"no prediction: one kind of activation must stand between all Linear layers; got {' - '.join(names)}"
        )
    return names[1]
