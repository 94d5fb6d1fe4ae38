"""The twelve practices. Right values come from the library or from running the answer, never from a number here."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from surefoot.dynamics import TanhRNN, bifurcations
from surefoot.errors import MissingExtra
from surefoot.operators import convolution
from surefoot.recipes import scale_batch
from surefoot.testing.practices._practice import Practice, Verdict

Answer = Callable[..., Any]
# What the last practice allows: its task says some twenty.
TRAININGS = 25


def right(reason: str) -> Verdict:
    """A right answer."""
    return Verdict(True, reason)


def wrong(reason: str) -> Verdict:
    """A wrong answer, with the reason."""
    return Verdict(False, reason)


def number(value: Any) -> float:
    """What an answer returned as one number; anything else cannot be used."""
    if value is None or isinstance(value, bool) or np.size(value) != 1:
        raise TypeError(f"it should be one number, and is {value!r}")
    return float(value)


def gap_after(Q: Any, step: float, steps: int) -> float:
    """|x| after gradient descent on x'Qx/2 from a start along every direction, over |x| at the start."""
    x = np.ones(len(Q))
    with np.errstate(over="ignore", invalid="ignore"):  # a step that is too large is an answer, not a warning
        for _ in range(steps):
            x = x - step * (Q @ x)
        size = float(np.linalg.norm(x) / math.sqrt(len(Q)))
    return size if math.isfinite(size) else math.inf


def judge_detector(diverged: Answer) -> Verdict:
    """A detector sees what is not finite and what grows, and no spike that passes."""
    falling = [2.0 * 0.97**k for k in range(100)]
    # the case that a threshold on the loss gets wrong
    spiked = [*falling[:50], 30.0, *falling[50:]]
    cases = (
        (falling, None, "a loss that falls all the time"),
        ([*falling[:40], math.nan, math.nan], 40, "a loss that is NaN from update 40 on"),
        ([*falling[:30], *[1.3**k for k in range(40)]], (30, 65), "a loss that grows by 1.3 an update from 30 on"),
        (spiked, None, "one spike that is gone at the next update"),
    )
    for losses, wanted, what in cases:
        said = diverged(losses)
        if isinstance(said, bool):
            return wrong(f"return the update, or None; yours says {said} of {what}")
        if wanted is None and said is not None:
            return wrong(f"{what} is no divergence; yours says update {said}")
        if wanted is not None:
            low, high = wanted if isinstance(wanted, tuple) else (wanted, wanted + 1)
            if said is None or not low <= said <= high:
                return wrong(f"{what} is divergence; yours says {said}")
    return right("it tells a spike from a rise. Guard does more: it judges by what later batches say")


def judge_power(power: Answer) -> Verdict:
    """Power iteration converges, from below."""
    Q = np.diag(np.linspace(0.1, 1.0, 200))
    few, many = (number(power(Q, steps)) for steps in (10, 3000))
    if many > 1.0 + 1e-3:
        return wrong(f"no estimate is above the largest eigenvalue 1; yours is {many:.4g}: take x'Qx/x'x of the last x")
    if not abs(many - 1.0) < 1e-3:
        return wrong(
            f"after 3000 steps the largest eigenvalue 1 should be there; yours is {many:.4f}: divide by |Qx| each time"
        )
    if not 0.3 < few < 1.0 - 1e-6:
        return wrong(f"after 10 steps the estimate is below 1; yours is {few:.4f}: take the Rayleigh quotient x'Qx/x'x")
    return right(
        f"after 10 steps it says {few:.3f} where 1 is true: a step of 2/{few:.3f} diverges. It errs below, always"
    )


def judge_limit(largest_step: Answer) -> Verdict:
    """2/L from both sides."""
    generator = np.random.default_rng(0)
    # three scales, so that no constant is an answer
    for top in (4.0, 0.3, 60.0):
        basis = np.linalg.qr(generator.standard_normal((6, 6)))[0]
        Q = basis @ np.diag(np.linspace(top / 10, top, 6)) @ basis.T
        step = number(largest_step(Q))
        if not step > 0 or gap_after(Q, 0.99 * step, 4000) > 1:
            return wrong(f"on a matrix with L = {top:g} your step {step:.3g} diverges; the limit is 2/L")
        if gap_after(Q, 1.01 * step, 4000) < 1:
            return wrong(f"on a matrix with L = {top:g} 1.01 times your step {step:.3g} still converges: there is room")
    return right("0.99 times it converges and 1.01 times it diverges")


def judge_scaling(scaling: Answer) -> Verdict:
    """Diagonal scaling lowers the condition number a lot."""
    base = np.random.default_rng(1).standard_normal((8, 8))
    sizes = np.geomspace(1, 1000, 8)
    Q = sizes[:, None] * (base @ base.T + 8 * np.eye(8)) * sizes
    d = np.asarray(scaling(Q), dtype=float)
    if d.shape != (8,) or not (d > 0).all():
        got = f"the least is {d.min():.3g}" if d.shape == (8,) else f"the shape is {d.shape}"
        return wrong(f"give 8 positive numbers d, for the variables x = d z; of yours {got}")
    before, after = (float(np.linalg.cond(each)) for each in (Q, d[:, None] * Q * d))
    if after > 1e-3 * before:
        return wrong(f"the condition number went from {before:.3g} to {after:.3g}; Jacobi takes d_i = 1/sqrt(Q_ii)")
    return right(f"the condition number fell from {before:.3g} to {after:.3g}: so many times fewer steps")


def judge_cycle(cycle_width: Answer) -> Verdict:
    """The width of a clipped run's oscillation, by running it."""
    for a, step, cap in ((1.0, 3.0, 1.0), (10.0, 0.5, 0.4), (2.0, 0.8, 1.0), (5.0, 1.0, 2.0)):
        x, seen = 0.37, []
        for t in range(400):
            x = x - step * float(np.clip(a * x, -cap, cap))
            if t >= 390:
                seen.append(x)
        true, said = max(seen) - min(seen), number(cycle_width(a, step, cap))
        if not abs(said - true) <= 1e-6 + 0.01 * true:
            seen_width = f"oscillates over {true:.4g}" if true > 1e-6 else "settles, for the step is below 2/a"
            return wrong(f"a = {a:g}, step {step:g}, cap {cap:g}: a run {seen_width}; yours says {said:.4g}")
    return right("step times cap above the limit 2/a, and nothing below it")


def judge_effective(plain_rate: Answer) -> Verdict:
    """The rate at which plain descent is as fast as momentum along a flat direction, by running both."""
    for rate, beta in ((0.1, 0.9), (0.02, 0.5), (0.3, 0.0)):
        # so flat that 4000 steps of either kind stay on the way: their rates of progress are compared
        a = 1e-4
        x, v = 1.0, 0.0
        for _ in range(4000):
            v = beta * v + a * x
            x = x - rate * v
        said = number(plain_rate(rate, beta))
        plain = (1 - said * a) ** 4000
        if not abs(math.log(plain) - math.log(x)) < 0.02 * abs(math.log(x)):
            side = "small" if plain > x else "large"
            return wrong(
                f"rate {rate:g}, momentum {beta:g}: momentum reaches {x:.4f}, your plain rate {plain:.4f}: it is too "
                f"{side}; in the long run v is a sum of past gradients"
            )
    return right("rate/(1 - momentum): the sum of a geometric series of past gradients")


def judge_batch(scaled: Answer) -> Verdict:
    """The rate for another batch, of both families."""
    for lr, batch, to, optimizer in ((0.1, 32, 256, "sgd"), (3e-4, 256, 1024, "adam"), (0.1, 64, 16, "sgd")):
        true, said = scale_batch(lr, batch, to, optimizer).rate, number(scaled(lr, batch, to, optimizer))
        if not math.isclose(said, true, rel_tol=1e-6):
            why = "its step follows the gradient" if optimizer == "sgd" else "its step does not grow with the gradient"
            return wrong(f"{optimizer}, {lr:g} at {batch}, for {to}: {true:.4g}, yours {said:.4g}; {why}")
    return right("linear for SGD keeps rate/batch; the root for Adam, whose step does not grow with the gradient")


def judge_doubling(first_doubling: Answer) -> Verdict:
    """Where training a recurrent network stops converging."""
    network = TanhRNN()
    true = bifurcations(network, (1.5, 2.5), 1.0, 1).parameters[0]
    said = number(first_doubling(network))
    if not abs(said - true) < 2e-3:
        ends = "to two, so it is too large" if said > true else "to one, so it is too small"
        return wrong(f"at your {said:.4f} a run settles {ends}: it is the rate where one value becomes two")
    return right(f"{true:.6f} = 2/sharpness at the minimum: the stability limit is where chaos begins its road")


def judge_stiff(choose: Answer) -> Verdict:
    """Steps that an explicit method needs, and what to take instead."""
    for eigenvalues, span in (([-1.0, -1e5], 10.0), ([-1.0, -3.0], 10.0), ([-0.1, -50.0], 5.0)):
        said = choose(np.array(eigenvalues), span)
        if not (isinstance(said, tuple) and len(said) == 2 and np.isreal(said[0]) and isinstance(said[1], str)):
            return wrong("return (steps, method): the least number of Euler steps, and 'explicit' or 'implicit'")
        least = math.ceil(span * max(-min(eigenvalues), 0) / 2)
        if not least <= said[0] <= 1.05 * least + 1:
            return wrong(
                f"eigenvalues {eigenvalues} over {span:g}: Euler needs {least} steps, yours {said[0]}; "
                "a step times the fastest eigenvalue must not pass -2"
            )
        ratio = min(eigenvalues) / max(eigenvalues)
        wanted = "implicit" if ratio > 1e3 else "explicit"
        if said[1] != wanted and not 1e1 < ratio < 1e3:
            return wrong(
                f"eigenvalues {eigenvalues}: {wanted}, since the fast component is {ratio:.3g} times the slow one"
            )
    return right("the step is set by the fastest component, long after it has died out: stiffness")


def photograph() -> Any:
    """A quarter of scikit-image's photograph at half its size, between 0 and 1: 128 x 128."""
    try:
        from skimage.data import camera
    except ImportError as error:
        raise MissingExtra("this practice has a photograph of scikit-image; pip install scikit-image") from error
    part = camera()[100:356, 100:356] / 255.0
    return part.reshape(128, 2, 128, 2).mean(axis=(1, 3))


def judge_deblur(deblur: Answer) -> Verdict:
    """A picture sharper than it was, from noisy data."""
    generator = np.random.default_rng(0)
    truth = photograph()
    line = np.exp(-(np.arange(-6, 7) ** 2) / 8.0)
    kernel = np.outer(line, line) / line.sum() ** 2
    blur = convolution(kernel, truth.shape, "reflect")

    def forward(x: Any) -> Any:
        return blur.matvec(np.ravel(x)).reshape(truth.shape)

    def adjoint(x: Any) -> Any:
        return blur.rmatvec(np.ravel(x)).reshape(truth.shape)

    seen = forward(truth) + 0.01 * generator.standard_normal(truth.shape)
    result = np.asarray(deblur(seen, forward, adjoint))
    if result.shape != truth.shape:
        return wrong(f"the result should have the shape of the picture, {truth.shape}; yours has {result.shape}")
    if not np.isfinite(result).all():
        return wrong("the result is not finite: it diverges, a step must be below 2/|A|² = 2")
    before, after = (float(np.mean((each - truth) ** 2)) for each in (seen, result))
    change = f"the mean squared error went from {before:.2e} to {after:.2e}"
    if after > 100 * before:
        return wrong(f"{change}: it diverges; go against the gradient, with a step below 2/|A|² = 2")
    if after > before:
        return wrong(f"{change}: so many steps bring the noise back; stop sooner")
    if not after < 0.7 * before:
        return wrong(f"{change}: go on for longer, or with a larger step")
    return right(f"the error fell from {before:.2e} to {after:.2e}; far more steps would bring the noise back")


def judge_depth(scale: Answer) -> Verdict:
    """The scale of residual blocks at which a signal neither dies nor explodes."""
    generator = np.random.default_rng(0)
    for depth in (16, 64, 256):
        h = number(scale(depth))
        x = generator.standard_normal(128)
        start = np.linalg.norm(x)
        for _ in range(depth):
            x = x + h * generator.standard_normal((128, 128)) @ x / math.sqrt(128)
        growth = float(np.linalg.norm(x) / start)
        if not 1.2 < growth < 2.5:
            return wrong(
                f"{depth} blocks at h = {h:.3g}: the signal grows {growth:.3g} times; aim at sqrt e = 1.65; "
                "each block multiplies the mean square by 1 + h²"
            )
    return right("h goes like 1/sqrt(depth): then (1 + h²)^depth tends to a number, e for h = 1/sqrt(depth)")


def judge_rate(rate: Answer) -> Verdict:
    """A rate for a network, tried by training with it."""
    tried: list[float] = []

    def counted(lr: float) -> float:
        tried.append(lr)
        return trained(lr)

    lr = number(rate(counted))
    if len(tried) > TRAININGS:
        return wrong(f"yours trained {len(tried)} times; a search on a log scale needs at most {TRAININGS}")
    sweep = {each: trained(each) for each in np.geomspace(1e-3, 30, 18).tolist()}
    mine, best = trained(lr), min(sweep, key=lambda each: sweep[each])
    if not mine < 1.5 * sweep[best]:
        if lr <= 0:
            return wrong(f"a rate is positive; yours is {lr:.3g}")
        side = "small" if lr < best else "large"
        return wrong(f"at {lr:.3g} the loss ends at {mine:.4f}, too {side} a rate: some rate reaches {sweep[best]:.4f}")
    return right(f"at {lr:.3g} the loss ends at {mine:.4f}, a sweep of {len(sweep)} rates reaches {sweep[best]:.4f}")


def trained(lr: float) -> float:
    """The loss of a network of 16 tanh units on noisy classes after 100 steps of momentum 0.9."""
    generator = np.random.default_rng(0)
    x = 3 * generator.standard_normal((200, 4))
    y = np.where(x[:, 0] + generator.standard_normal(200) > x[:, 1], 1.0, -1.0)
    inner, outer = generator.standard_normal((4, 16)) / 2, generator.standard_normal(16) / 4
    moves = [np.zeros_like(inner), np.zeros_like(outer)]
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(100):
            h = np.tanh(x @ inner)
            slope = -y / (1 + np.exp(np.clip(y * (h @ outer), -500, 500))) / 200
            gradients = [x.T @ (np.outer(slope, outer) * (1 - h * h)), h.T @ slope]
            moves = [0.9 * move + gradient for move, gradient in zip(moves, gradients, strict=True)]
            inner, outer = inner - lr * moves[0], outer - lr * moves[1]
        return float(np.logaddexp(0, -y * (np.tanh(x @ inner) @ outer)).mean())


def _practice(number: int, title: str, task: str, signature: str, page: str, judge: Any) -> Practice:
    name = signature.partition("(")[0]
    starter = f"def {signature}:\n    ...  # your answer\n"
    return Practice(number=number, title=title, task=task, starter=starter, name=name, page=page, judge=judge)


# From what one run shows to what a search needs: each practice uses those before it.
COURSE: tuple[Practice, ...] = (
    _practice(
        1, "A divergence detector",
        "Write `diverged(losses)`: the update at which a list of losses shows that the run has diverged, or None. NaN "
        "and infinity are divergence at once; a loss that grows update after update is; one spike that is gone again "
        "is not.",
        "diverged(losses)", "guard.md", judge_detector,
    ),
    _practice(
        2, "Power iteration, and why it errs",
        "Write `power(Q, steps)`: the estimate of the largest eigenvalue of a symmetric matrix after `steps` "
        "products. Begin at a random x, repeat x <- Qx/|Qx|, and return x'Qx/x'x. From which side does the estimate "
        "come? Is 2 over it a safe step?",
        "power(Q, steps)", "spectrum.md", judge_power,
    ),
    _practice(
        3, "The limit, from both sides",
        "Write `largest_step(Q)`: the step above which gradient descent on x'Qx/2 diverges. The check runs 0.99 and "
        "1.01 times it.",
        "largest_step(Q)", "limits.md", judge_limit,
    ),
    _practice(
        4, "Canyon and preconditioning",
        "The valley x'Qx/2 is narrow because its variables have different units. Write `scaling(Q)`: positive numbers "
        "d, one for each variable. In the variables z with x = d z the condition number must be a thousandth of what "
        "it was.",
        "scaling(Q)", "preconditioning.md", judge_scaling,
    ),
    _practice(
        5, "Clipping's cycle",
        "Gradients are cut to [-cap, cap]. Write `cycle_width(a, step, cap)`: the distance over which gradient "
        "descent on a x²/2 oscillates in the long run. Mind the steps at which it settles.",
        "cycle_width(a, step, cap)", "clipping.md", judge_cycle,
    ),
    _practice(
        6, "Momentum's effective rate",
        "Momentum moves by v <- momentum v + g, x <- x - rate v, with the gradient g. Write `plain_rate(rate, "
        "momentum)`: the rate at which gradient descent without momentum is as fast along flat directions.",
        "plain_rate(rate, momentum)", "methods.md", judge_effective,
    ),
    _practice(
        7, "Another batch",
        "A run with the rate lr and batches of `batch` samples went well. Write `scaled(lr, batch, to, optimizer)`: "
        "the rate for batches of `to` samples, with the optimizer 'sgd' or 'adam', by the rule that fits each.",
        "scaled(lr, batch, to, optimizer)", "scale.md", judge_batch,
    ),
    _practice(
        8, "A recurrent network on the road to chaos",
        "Training a tanh network of one weight is a map: `network(x, rate)` does one step of gradient descent on the "
        "weight x. Write `first_doubling(network)`: the rate between 1.5 and 2.5 at which its runs stop settling to "
        "one value.",
        "first_doubling(network)", "long-run.md", judge_doubling,
    ),
    _practice(
        9, "Stiff chemistry",
        "A reaction's Jacobian has the given negative eigenvalues. Write `choose(eigenvalues, span)`, which returns a "
        "pair: the least number of equal Euler steps that stay stable over the time span, and 'explicit' or "
        "'implicit', the kind of method that you would take.",
        "choose(eigenvalues, span)", "learning-rate-is-a-time-step.md", judge_stiff,
    ),
    _practice(
        10, "Deblur a photograph",
        "A photograph was blurred by A, with |A|² = 1, and has noise. Write `deblur(seen, forward, adjoint)`: "
        "gradient descent on |forward(x) - seen|²/2, whose gradient is adjoint(forward(x) - seen). Noise comes back "
        "after many steps, so stop before that.",
        "deblur(seen, forward, adjoint)", "deblurring.md", judge_deblur,
    ),
    _practice(
        11, "A residual network's depth",
        "A block maps x to x + h W x, W random with variance 1/width. Write `scale(depth)`: the h at which a signal "
        "grows by about 1.65 through `depth` blocks, whatever the depth.",
        "scale(depth)", "residual.md", judge_depth,
    ),
    _practice(
        12, "Which rate for a network of your own",
        "`trained(lr)` trains a small network with SGD and momentum for 100 steps and returns its loss. Write "
        "`rate(trained)`: a rate that is nearly as good as the best, in at most some twenty trainings.",
        "rate(trained)", "range-test.md", judge_rate,
    ),
)  # fmt: skip
