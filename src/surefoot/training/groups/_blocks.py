"""Curvature block by block, and as an optimizer sees it."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch.optim import Optimizer

from surefoot.checks import checked
from surefoot.errors import InvalidInput
from surefoot.operators import Operator
from surefoot.training.curvature import CurvatureOperator
from surefoot.training.optimizers.frozen import freeze


@checked
def blocks(
    H: CurvatureOperator, by: str | Iterable[str] | Mapping[str, Any] = "layers", *, optimizer: Optimizer | None = None
) -> dict[str, CurvatureOperator]:
    """The diagonal blocks of a curvature matrix, each an operator of its own.

        H_bb = R_b H R_b',    R_b selects the parameters of block b

    By Cauchy's interlacing theorem the eigenvalues of a block lie between the smallest and the largest of H: a block
    that reaches the largest holds the sharp direction, and its group's rate is what to lower.

    Parameters
    ----------
    H : CurvatureOperator
    by : str, iterable of str or mapping
        "layers": the parameters that a module holds itself, by the module's name. "parameters": each by itself.
        "groups": the optimizer's parameter groups. Names: one block for each parameter or submodule named. A mapping:
        each block's name with its parameters or their names.
    optimizer : torch.optim.Optimizer, optional
        Optimizer that has the groups, for "groups".

    Returns
    -------
    dict of str to CurvatureOperator
        On the same data. The kept graphs share H's `max_memory`.

    Raises
    ------
    InvalidInput
        If `by` is not known, a block is empty or not of H, or "groups" comes without an optimizer.
    InvalidType
        If H is no curvature operator.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.groups._blocks import blocks
    >>> from surefoot.training.curvature import hessian
    >>> from surefoot.training.model import supervised
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    >>> H = hessian(model, supervised(torch.nn.functional.mse_loss), (torch.ones(4, 2), torch.ones(4, 1)))
    >>> {name: block.shape for name, block in blocks(H).items()}
    {'0': (9, 9), '2': (4, 4)}
    """
    chosen = _select(H, by, optimizer)
    if not chosen:
        raise InvalidInput("by selects no block; give at least one name")
    memory = H.max_memory // len(chosen)
    return {name: H.restricted(parameters, max_memory=memory) for name, parameters in chosen.items()}


@checked
def optimizer_curvature(H: CurvatureOperator, optimizer: Optimizer) -> Operator:
    """The curvature as an optimizer at its current state sees it.

        P^-1/2 (H + w) P^-1/2

    P is the preconditioner held fixed (Adam: sqrt(v / (1 - b2^t)) + eps), with the ratios of the groups' rates inside;
    w is coupled weight decay. Its eigenvalues times the first group's rate are what the stability of the optimizer's
    method is about. Decoupled decay is no part of it: see `optimizer_limits`.

    Parameters
    ----------
    H : CurvatureOperator
    optimizer : torch.optim.Optimizer
        Optimizer, as in `optimizer_limits`; without a state yet it is probed on a copy.

    Returns
    -------
    Operator, shape (n, n)
        At the preconditioner of this moment: ask again after a step.

    Raises
    ------
    InvalidType
        If H or the optimizer is of no known kind.
    InvalidInput
        If the optimizer does not train a parameter of H.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.curvature import hessian
    >>> from surefoot.training.groups._blocks import optimizer_curvature
    >>> from surefoot.training.model import supervised
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> _ = torch.nn.init.ones_(model.weight)
    >>> x, y = torch.diag(torch.tensor([1.0, 100.0])), torch.zeros(2, 1)
    >>> H = hessian(model, supervised(torch.nn.functional.mse_loss), (x, y))  # diag(1, 1e4)
    >>> adam = torch.optim.Adam(model.parameters())  # v is the squared gradient (1, 1e4)^2
    >>> (optimizer_curvature(H, adam) @ [1.0, 1.0]).round(4)
    array([1., 1.])
    """
    return freeze(H, optimizer).curvature(H)


def _select(H: CurvatureOperator, by: Any, optimizer: Optimizer | None) -> dict[str, list[Any]]:
    if isinstance(by, Mapping):
        # a single parameter or name stands for a list of one
        alone = {name: isinstance(given, str) or hasattr(given, "shape") for name, given in by.items()}
        return {str(name): [given] if alone[name] else list(given) for name, given in by.items()}
    if not isinstance(by, str):
        return {name: [name] for name in by}
    if by == "parameters":
        return {name: [name] for name in H.names}
    if by == "layers":
        layers: dict[str, list[Any]] = {}
        for name in H.names:
            layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
        return layers
    if by == "groups":
        if optimizer is None:
            raise InvalidInput('by="groups" needs the optimizer that has the groups; pass optimizer=...')
        names = {id(p): name for name, p in zip(H.names, H.parameters, strict=True)}
        groups: dict[str, list[Any]] = {}
        for i, group in enumerate(optimizer.param_groups):
            if members := [names[id(p)] for p in group["params"] if id(p) in names]:
                groups[str(group.get("name", f"group {i}"))] = members
        return groups
    raise InvalidInput(
        f'by must be "layers", "parameters", "groups", names or a mapping; got {by!r}: a single name goes in a list'
    )
