"""Finding x + g(x): what is added to what, in which module, and why something is not of this form."""

import pytest
import torch
from torch import nn
from training.residual.residual_cases import MLP, PreNorm, inputs, stack

from surefoot.errors import InvalidInput, InvalidType
from surefoot.training import residual_stability
from surefoot.training.residual._trace import trace_forward
from surefoot.training.residual.blocks import named_steps


def found(model, x, blocks=None):
    return named_steps(model, trace_forward(model, lambda: model(x)), blocks)


def written(forward, *layers):
    """A module whose forward is the function of (self, x)."""

    class Written(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.norm = nn.LayerNorm(4)

        def forward(self, x):
            return forward(self, x)

    return Written()


def test_blocks_are_found_in_the_order_in_which_they_run():
    model, x = stack(3), inputs(5, 8)
    steps = found(model, x)
    assert list(steps) == ["1", "2", "3"]
    for name, step in steps.items():
        block = model.get_submodule(name)
        torch.testing.assert_close(step.branch, block(step.x) - step.x)
        torch.testing.assert_close(step.value, block(step.x))


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (lambda: PreNorm(8), ["{}.attention", "{}.mlp"]),
        (
            lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, norm_first=True, batch_first=True),
            ["{}.dropout1", "{}.dropout2"],
        ),
    ],
)
def test_a_pre_norm_layer_has_two_branches(layer, names):
    model = nn.Sequential(layer(), layer()).eval()
    wanted = [name.format(i) for i in range(2) for name in names]
    assert list(found(model, inputs(2, 3, 8))) == wanted
    assert list(found(model, inputs(2, 3, 8), "1")) == wanted[2:]


def in_place(self, x):
    out = self.a(x)
    out += x
    return out


def stream_in_place(self, x):
    x = self.norm(x)
    x += self.a(x)
    return x


def input_in_place(self, x):
    """The model's own input is changed: not that of the caller."""
    x += self.a(x)
    return x


def interpolated(self, x):
    return x.lerp(end=x, weight=0.5) + self.a(x.lerp(x, 0.5))


def parallel(self, x):
    return x + self.a(x) + self.b(self.norm(x))


def grouped(self, x):
    return x + (self.a(x) + self.b(x))


def with_alpha(self, x):
    return torch.add(x, self.a(x), alpha=0.5)


def branch_first(self, x):
    return self.a(x).add(x)


def descent(self, x):
    """A step of gradient descent, the sum that it is."""
    return x - self.a(x)


def descent_in_place(self, x):
    x = self.norm(x)
    x -= self.a(x)
    return x


def less(self, x):
    return torch.sub(x, self.a(x), alpha=0.5)


def polynomial(self, x):
    """The cubic inside GELU's approximation is x + c x^3, but has no parameters."""
    y = self.a(x)
    return x + self.b(y * torch.tanh(0.8 * (y + 0.044715 * y**3)))


def around_all(self, x):
    """An outer sum around an inner one: the inner is the block."""
    y = self.norm(x)
    y = y + self.a(y)
    return x + y


@pytest.mark.parametrize(
    ("forward", "branch"),
    [
        (in_place, lambda m, x: m.a(x)),
        (stream_in_place, lambda m, x: m.a(m.norm(x))),
        (input_in_place, lambda m, x: m.a(x)),
        (parallel, lambda m, x: m.a(x) + m.b(m.norm(x))),
        (grouped, lambda m, x: m.a(x) + m.b(x)),
        (with_alpha, lambda m, x: 0.5 * m.a(x)),
        (branch_first, lambda m, x: m.a(x)),
        (descent, lambda m, x: -m.a(x)),
        (descent_in_place, lambda m, x: -m.a(m.norm(x))),
        (less, lambda m, x: -0.5 * m.a(x)),
        (polynomial, None),
        (around_all, lambda m, x: m.a(m.norm(x))),
    ],
)
def test_one_block_however_it_is_written(forward, branch):
    torch.manual_seed(0)
    model, x = written(forward), inputs(3, 4)
    (step,) = found(model, x).values()
    assert torch.equal(x, inputs(3, 4))
    expected = model(x) - x if branch is None else branch(model, x)
    torch.testing.assert_close(step.branch, expected)


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: self.a(x) + self.b(x),
        lambda self, x: x + self.a.weight[:3],
        lambda self, x: self.b(torch.relu(self.a(x))),
        lambda self, x: x + 0.1 * torch.tanh(x),
        interpolated,
        lambda self, x: torch.cat([x[:, :2] + self.a(torch.cat([x[:, 2:]] * 2, 1))[:, :2], x[:, 2:]], 1),
    ],
)
def test_other_sums_are_not_blocks(forward):
    """The last is one step of a reversible network: the halves are different values, though of one split."""
    model, x = written(forward), inputs(3, 4)
    steps = trace_forward(model, lambda: model(x)).steps
    assert not [step for step in steps if step.parametric]


def test_halves_of_one_split_are_told_apart():
    def reversible(self, x):
        one, two = x.repeat(1, 2).chunk(2, dim=1)
        one = one + self.a(two)
        return torch.cat([one, two], 1)

    model = written(reversible)
    with pytest.raises(InvalidInput, match=r"no x \+ g\(x\) in Written"):
        found(model, inputs(3, 4))


def test_frozen_parameters_hide_nothing_and_stay_frozen():
    model = stack(2).requires_grad_(False)
    assert list(found(model, inputs(5, 8))) == ["1", "2"]
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("blocks", "names"),
    [
        ("[12]", ["1", "2"]),
        (["3", "1"], ["1", "3"]),
        (lambda name, module: isinstance(module, MLP), ["1", "2", "3"]),
        ("*.outer", ["1", "2", "3"]),
    ],
)
def test_blocks_by_pattern_names_or_function(blocks, names):
    assert list(found(stack(3), inputs(5, 8), blocks)) == names


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ("0", "0 is not of the form x [+] g.x.: its output is made by Addmm and nothing in it is added"),
        ("4", r"4 is not .*its shape changes from \(5, 8\) to \(5, 3\)"),
        ("layers.*", "no module matches blocks='layers.*'; the modules are 0, 1, 1.inner"),
        (["7"], "no module is called '7'"),
        ("1.inner", "1.inner is not of the form"),
    ],
)
def test_what_is_no_block_is_named_with_the_reason(blocks, message):
    with pytest.raises(InvalidInput, match=message):
        found(stack(3), inputs(5, 8), blocks)


def test_blocks_of_the_wrong_kind():
    with pytest.raises(InvalidType, match="blocks must be a text or several texts or a function or None; got 3"):
        residual_stability(stack(2), inputs(5, 8), blocks=3)


def test_an_activation_after_the_sum_is_no_euler_step():
    model = nn.Sequential(written(lambda self, x: torch.relu(x + self.a(x))))
    with pytest.raises(InvalidInput, match=r"0 is not of the form .*Relu acts after the sum"):
        found(model, inputs(3, 4), "0")
    assert list(found(model, inputs(3, 4))) == ["0"]


def test_a_norm_before_the_stream_is_said():
    model = nn.Sequential(written(stream_in_place))
    with pytest.raises(InvalidInput, match="the branch is added to what NativeLayerNorm returned, not to its input"):
        found(model, inputs(3, 4), "0")


def test_a_model_without_blocks_says_what_was_seen():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with pytest.raises(
        InvalidInput, match=r"no x \+ g\(x\) in Sequential: 0 additions .*0: its output is made by Addmm"
    ):
        found(model, inputs(3, 4))


def test_a_block_that_runs_twice_is_two_steps():
    shared = MLP(4)
    assert list(found(nn.Sequential(shared, shared), inputs(3, 4))) == ["0.outer #1", "0.outer #2"]


def test_a_branch_less_its_input_is_no_block():
    model = written(lambda self, x: self.a(x) - x)
    with pytest.raises(InvalidInput, match=r"no x \+ g\(x\)"):
        found(model, inputs(3, 4))
