"""Products with J'AJ, J the Jacobian of a network's outputs, from the graph of one evaluation."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from surefoot.training.curvature.linearised import Product


def outer_product(outputs: Tensor, parameters: Sequence[Tensor], inner: Callable[[Tensor], Tensor]) -> Product:
    """V -> J' inner(J v) as in `Linearised`, J the Jacobian of the outputs (with their graph) by the parameters.

    J v comes from differentiating u -> J'u, which is linear in the dummy u, so it uses no second derivative of the
    model and no forward mode. `inner` is a linear map on tensors like the outputs.
    """
    u = torch.zeros_like(outputs, requires_grad=True)
    pulled = cast(
        "Sequence[Tensor | None]",
        torch.autograd.grad(outputs, parameters, u, create_graph=True, allow_unused=True),
    )
    # a derivative without a graph does not depend on u: it is zero
    used = {i: g for i, g in enumerate(pulled) if g is not None and g.requires_grad}

    def product(vectors: Sequence[Tensor], keep: bool) -> Sequence[Tensor | None]:
        if not used:
            return [None] * len(parameters)
        (pushed,) = torch.autograd.grad(
            list(used.values()), u, [vectors[i] for i in used], retain_graph=True, materialize_grads=True
        )
        return torch.autograd.grad(outputs, parameters, inner(pushed), retain_graph=keep, allow_unused=True)

    return product
