"""The figures of the documentation: one function for each page, run by the library when the site is built."""

import io
import json
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

import surefoot as sf
from surefoot import dynamics, methods, noise, problems, recipes, rules, solvers, spectra, trials
from surefoot.report.figures import save_svg

matplotlib.use("Agg")
matplotlib.rcParams.update(
    {
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "svg.hashsalt": "surefoot",  # the same figure gives the same file
        "svg.fonttype": "none",
    }
)

# Page -> (drawing function, what the figure shows: the caption, and the text for those who cannot see it).
FIGURES: dict[str, tuple[Callable[[], str], str]] = {}
BLUE, RED, GREEN, GREY, AMBER = "#1d5fa8", "#b3391f", "#1b7048", "#767c84", "#8a5a00"
DASHES = ("-", "--", "-.", ":")


def shows(page: str, caption: str):
    """Register the function below as the figure of a page."""

    def register(draw: Callable[[], Figure | str]) -> Callable[[], Figure | str]:
        FIGURES[page] = (lambda: svg(draw()), caption)
        return cache(draw)  # where two pages show it

    return register


def svg(drawn: Figure | str) -> str:
    """A figure as SVG text without what changes from day to day; one of a report in its colours on white."""
    if isinstance(drawn, str):
        with tempfile.TemporaryDirectory() as folder:
            return save_svg(drawn, Path(folder) / "figure.svg").read_text(encoding="utf-8")
    file = io.StringIO()
    drawn.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return re.sub(r"^.*?(?=<svg)", "", file.getvalue(), flags=re.DOTALL)


def canvas(xlabel: str, ylabel: str, *, logx: bool = False, logy: bool = False, width: float = 6.4):
    """An empty picture with its axes named."""
    figure = Figure(figsize=(width, 3.4))
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if logx else "linear", yscale="log" if logy else "linear")
    return figure, axes


def logistic():
    """A small logistic regression that several pages share."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 6)) * [1, 1, 2, 3, 1, 1]
    y = (X @ [1, -1, 0.5, 0.3, 0, 1] + rng.logistic(size=200) > 0).astype(float)
    return problems.Logistic(X, y, ridge=1e-2)


def quadratic(kappa: float = 50.0, size: int = 20):
    """A quadratic with curvatures from 1/kappa to 1."""
    return problems.Quadratic(np.diag(np.geomspace(1 / kappa, 1.0, size)))


@shows("how-big-a-step-zh.md", "同一个二次函数上四种步长的梯度下降：慢、好、略小于极限 2/L、略大于极限。")
@shows(
    "how-big-a-step.md",
    "Gradient descent on one quadratic at four steps: slow, good, just below the limit 2/L, just above it.",
)
def four_steps():
    figure, axes = canvas("step", "loss", logy=True)
    problem, start = quadratic(), np.ones(20)
    cases = (("0.2/L: slow", 0.2), ("1.9/L: good", 1.9), ("1.995/L: oscillates", 1.995), ("2.03/L: diverges", 2.03))
    for (name, step), dash, colour in zip(cases, DASHES, (GREY, GREEN, AMBER, RED), strict=True):
        x, losses = start.copy(), []
        for _ in range(150):
            losses.append(problem.value(x))
            x = x - step * problem.gradient(x)
        axes.plot(losses, dash, color=colour, label=name)
    axes.set_ylim(1e-6, 1e3)
    axes.legend(frameon=False)
    return figure


@shows(
    "advise.md",
    "What stands behind a suggestion: the losses of short real runs against the step, and the linear limit.",
)
def short_runs():
    figure, axes = canvas("step", "loss after a short run", logx=True, logy=True)
    advice = sf.advise(logistic())
    for recommendation, colour, dash in zip(advice.recommendations, (BLUE, RED, GREEN), DASHES, strict=False):
        runs = sorted(recommendation.trials, key=lambda run: run.step)
        axes.plot(
            [run.step for run in runs],
            [run.losses[-1] for run in runs],
            "o" + dash,
            color=colour,
            ms=3,
            label=recommendation.label,
        )
        axes.axvline(recommendation.limits.stable, color=colour, ls=":", lw=1)
    axes.legend(frameon=False)
    return figure


@shows(
    "limits.md",
    "The factor per step of the slowest direction against the step; where a curve crosses 1 is the method's limit.",
)
def factors():
    figure, axes = canvas("step, in units of 1/L", "worst factor per step")
    steps, curvatures = np.linspace(0.01, 4.0, 400), np.geomspace(0.02, 1.0, 60)
    for method, dash, colour in (
        (methods.GradientDescent(), "-", BLUE),
        (methods.HeavyBall(0.9), "--", RED),
        (methods.Nesterov(0.9), "-.", GREEN),
    ):
        worst = method.amplification(-steps[:, None] * curvatures).max(axis=1)
        axes.plot(steps, worst, dash, color=colour, label=method.name)
        axes.axvline(method.real_limit, color=colour, lw=1, ls=":")
    axes.axhline(1, color=GREY, lw=1)
    axes.set_ylim(0.5, 1.5)
    axes.legend(frameon=False)
    return figure


@shows("methods.md", "Stability regions: where step times eigenvalue must lie.")
def regions():
    figure, axes = canvas("real part", "imaginary part")
    cases = (methods.ForwardEuler(), methods.Heun(), methods.RK4(), methods.AdamsBashforth(2))
    x, y = np.linspace(-3.5, 1, 300), np.linspace(-3.2, 3.2, 300)
    z = x[None, :] + 1j * y[:, None]
    for method, colour, dash in zip(
        cases, (BLUE, GREEN, RED, AMBER), ("solid", "dashed", "dashdot", "dotted"), strict=True
    ):
        axes.contour(x, y, method.amplification(z), levels=[1.0], colors=[colour], linestyles=[dash])
        axes.plot([], [], color=colour, ls=dash, label=method.name)
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="upper left", fontsize=9)
    return figure


@shows(
    "spectrum.md",
    "An interval for the largest eigenvalue against products: the lower end is proved, the upper end "
    "holds with probability 1 - 1e-6.",
)
def interval():
    figure, axes = canvas("products with the matrix", "largest eigenvalue")
    A = np.diag(np.linspace(0.0, 1.0, 2000))
    operator = sf.operators.as_operator(lambda_map(A))
    products = np.arange(8, 80, 4)
    ends = [
        sf.spectrum(operator, symmetric=True, which="largest", rtol=1e-9, max_products=int(k)).largest for k in products
    ]
    axes.fill_between(products, [end.lower for end in ends], [end.upper for end in ends], color=BLUE, alpha=0.25)
    axes.plot(products, [end.upper for end in ends], "-", color=BLUE, label="upper end")
    axes.plot(products, [end.lower for end in ends], "--", color=BLUE, label="lower end")
    axes.axhline(1.0, color=GREY, lw=1)
    axes.legend(frameon=False)
    return figure


def lambda_map(A):
    """A matrix known by its products alone."""
    from scipy.sparse.linalg import LinearOperator

    return LinearOperator(
        A.shape, matvec=lambda v: A @ np.ravel(v), rmatvec=lambda v: A.T @ np.ravel(v), dtype=np.float64
    )


@shows(
    "problems.md",
    "Logistic regression: the curvature at random points never exceeds the bound in closed form that the "
    "limit comes from.",
)
def global_bound():
    figure, axes = canvas("distance from the origin", "largest curvature there", logx=True)
    problem, rng = logistic(), np.random.default_rng(1)
    sizes, seen = np.geomspace(0.01, 10, 60), []
    for size in sizes:
        direction = rng.standard_normal(problem.size)
        seen.append(np.linalg.eigvalsh(problem.hessian_matrix(size * direction / np.linalg.norm(direction)))[-1])
    axes.plot(sizes, seen, "o", color=BLUE, ms=3, label="at a random point")
    axes.axhline(problem.curvature().largest.upper, color=RED, ls="--", label="bound in closed form")
    axes.legend(frameon=False)
    return figure


@shows(
    "rules.md", "Five rules on one logistic regression, from the same start: the gap to the minimum against gradients."
)
def several_rules():
    figure, axes = canvas("gradients", "loss less its minimum", logy=True)
    problem = logistic()
    best = float(solvers.descend(problem, rule=rules.BarzilaiBorwein(), steps=400).trace.loss.min())
    cases = (
        ("1/L", rules.Constant(step=sf.limits(problem).safe)),
        ("Armijo", rules.Armijo()),
        ("Barzilai-Borwein", rules.BarzilaiBorwein()),
        ("AdGD", rules.AdGD()),
        ("Auto", rules.Auto()),
    )
    for (name, rule), colour, dash in zip(cases, (GREY, AMBER, BLUE, GREEN, RED), (*DASHES, "-"), strict=True):
        losses = solvers.descend(problem, rule=rule, steps=80).trace.loss
        axes.plot(np.maximum(losses - best, 1e-14), dash, color=colour, label=name)
    axes.legend(frameon=False)
    return figure


@shows(
    "descend.md",
    "The step that a Barzilai-Borwein run took, beside the limit 2/L: a method may pass it for a while "
    "and still converge.",
)
def steps_taken():
    figure, axes = canvas("evaluation", "step", logy=True)
    problem = quadratic(200.0)
    run = sf.descend(problem, np.ones(20), rule=rules.BarzilaiBorwein(), steps=80)
    axes.plot(run.trace.step, "o-", ms=3, lw=1, color=BLUE, label="step")
    axes.axhline(sf.limits(problem).stable, color=RED, ls="--", label="2/L")
    axes.legend(frameon=False)
    return figure


@shows(
    "run.md",
    "What one run reports: the loss along a run, with the loss that the second-order model expected of each step.",
)
def one_run():
    figure, axes = canvas("evaluation", "loss", logy=True)
    run = sf.descend(logistic(), rule=rules.Armijo(), steps=30)
    axes.plot(run.trace.loss, "o-", ms=3, color=BLUE, label="loss")
    expected = run.trace.loss[:-1] + run.trace.predicted[1:]
    axes.plot(np.arange(1, len(run.trace)), expected, "x", color=RED, label="expected by the second-order model")
    axes.legend(frameon=False)
    return figure


@shows("race.md", "A race: gradients that each rule needed until the gap was a millionth, on one logistic regression.")
def race_bars():
    figure, axes = canvas("gradients to a gap of 1e-6 of the first", "", width=6.4)
    problem = logistic()
    best = float(solvers.descend(problem, rule=rules.BarzilaiBorwein(), steps=600).trace.loss.min())
    cases = {
        "1/L": rules.Constant(step=sf.limits(problem).safe),
        "Armijo": rules.Armijo(),
        "AdGD": rules.AdGD(),
        "Barzilai-Borwein": rules.BarzilaiBorwein(),
        "Auto": rules.Auto(),
    }
    for name, rule in cases.items():
        gap = solvers.descend(problem, rule=rule, steps=2000).trace.loss - best
        axes.barh(name, int(np.argmax(gap <= 1e-6 * gap[0])) or len(gap), color=BLUE)
    return figure


@shows("sweep.md", "A sweep: the final loss against the rate, with the linear limit.")
def swept():
    from surefoot.report.figures import sweep_figure

    return sweep_figure(trials.sweep(logistic(), count=24, steps=200).to_dict())


@shows(
    "preconditioning.md",
    "The same quadratic with scales 1 to 10,000, before and after Jacobi scaling, each at its best step.",
)
def scaled():
    figure, axes = canvas("step", "loss", logy=True)
    rng = np.random.default_rng(0)
    base = rng.standard_normal((8, 8))
    scales = np.geomspace(1, 100, 8)
    problem = problems.Quadratic(scales[:, None] * (base @ base.T + 8 * np.eye(8)) * scales)
    for name, case, colour, dash in (
        ("as it is", problem, RED, "--"),
        ("Jacobi", problems.precondition(problem), BLUE, "-"),
    ):
        run = sf.descend(case, np.ones(8), rule=rules.Constant(step=sf.limits(case).optimal), steps=120)
        axes.plot(np.maximum(run.trace.loss / run.trace.loss[0], 1e-16), dash, color=colour, label=name)
    axes.legend(frameon=False)
    return figure


@shows("robust.md", "Curvature of 2,000 matrices whose entries are uncertain by 0.1, and the certified worst case.")
def uncertain():
    figure, axes = canvas("largest squared singular value", "matrices")
    nominal, rng = np.array([[2.0, 1.0], [1.0, 3.0]]), np.random.default_rng(0)
    draws = nominal + rng.uniform(-0.1, 0.1, (2000, 2, 2))
    axes.hist(np.linalg.norm(draws, 2, axis=(1, 2)) ** 2, bins=40, color=BLUE, alpha=0.7)
    certified = spectra.worst_case(spectra.Rectangular(nominal - 0.1, nominal + 0.1)).largest.upper
    axes.axvline(certified, color=RED, ls="--", label="worst case")
    axes.axvline(np.linalg.norm(nominal, 2) ** 2, color=GREY, ls=":", label="as given")
    axes.legend(frameon=False)
    return figure


@shows(
    "deblurring.md",
    "Where the noise takes over: the error of the picture along two methods; fast ones peak early and "
    "then amplify noise.",
)
def deblurred():
    from scipy.ndimage import gaussian_filter

    figure, axes = canvas("step", "signal to noise ratio of the result, dB")
    rng = np.random.default_rng(0)
    truth = np.clip(gaussian_filter(rng.standard_normal((64, 64)), 3) * 6 + 0.5, 0, 1)
    kernel = np.outer(*[np.exp(-(np.arange(-6, 7) ** 2) / 8.0)] * 2)
    kernel /= kernel.sum()
    blurred = sf.operators.convolution(kernel, truth.shape, "reflect").matvec(truth.ravel()).reshape(truth.shape)
    problem = problems.Deblurring(blurred + 0.01 * rng.standard_normal(truth.shape), kernel, "reflect")
    safe = sf.limits(problem).safe
    for name, rule, colour, dash in (
        ("1/L", rules.Constant(step=safe), BLUE, "-"),
        ("Barzilai-Borwein", rules.BarzilaiBorwein(), RED, "--"),
    ):
        points = []
        for steps in (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128):
            x = sf.descend(problem, blurred.ravel(), rule=rule, steps=steps, tol=0.0).x
            points.append((steps, 10 * np.log10(1 / np.mean((x - truth.ravel()) ** 2))))
        axes.plot(*zip(*points, strict=True), "o" + dash, ms=3, color=colour, label=name)
    axes.legend(frameon=False)
    return figure


@shows(
    "random-matrices.md",
    "Eigenvalues of a sample covariance (500 samples, 250 features) and the Marchenko-Pastur density.",
)
def marchenko_pastur():
    figure, axes = canvas("eigenvalue", "density")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 250))
    axes.hist(np.linalg.eigvalsh(X.T @ X / 500), bins=50, density=True, color=BLUE, alpha=0.5)
    ratio = 0.5
    low, high = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2
    x = np.linspace(low, high, 300)
    axes.plot(
        x, np.sqrt((high - x) * (x - low)) / (2 * np.pi * ratio * x), color=RED, ls="--", label="Marchenko-Pastur"
    )
    axes.axvline(high, color=AMBER, ls=":", label="upper edge: the limit is 2 over this")
    axes.legend(frameon=False)
    return figure


@shows(
    "learning-rate-is-a-time-step.md",
    "Euler on x' = -x with four time steps: the same four fates as gradient descent's.",
)
def time_steps():
    figure, axes = canvas("time", "x")
    for h, colour, dash in ((0.2, BLUE, "-"), (1.0, GREEN, "--"), (1.8, AMBER, "-."), (2.1, RED, ":")):
        n = int(12 / h)
        axes.plot(h * np.arange(n + 1), (1 - h) ** np.arange(n + 1), "o" + dash, ms=3, color=colour, label=f"h = {h:g}")
    axes.plot(np.linspace(0, 12, 200), np.exp(-np.linspace(0, 12, 200)), color=GREY, lw=1, label="exact")
    axes.legend(frameon=False, ncols=2, fontsize=9)
    return figure


@shows(
    "region.md", "The stability region of RK4: |R(z)| = 1 is its edge; -2.785 and 2.828i are the limits on the axes."
)
def rk4_region():
    from surefoot.report.figures import region_figure

    return region_figure(methods.RK4().region())


@shows(
    "orbit.md",
    "A recurrent network's weight after many steps of training, for each rate: one value, two, four, ..., chaos.",
)
def recurrent_orbit():
    return orbit_dots(dynamics.TanhRNN(), np.linspace(1.0, 4.2, 500), 1.0, "weight")


@shows(
    "long-run.md",
    "Gradient descent on the cubic loss is the logistic map: past 2/a it doubles its period and becomes chaotic.",
)
def cubic_orbit():
    return orbit_dots(dynamics.Cubic(1.0), np.linspace(1.5, 3.0, 600), 0.3, "x")


def orbit_dots(update, rates, start, ylabel):
    """The last states of an orbit for each rate, as dots."""
    figure, axes = canvas("step", ylabel)
    points = dynamics.orbit(update, rates, start, steps=1500, keep=60)
    image = np.where(np.isfinite(points), points, np.nan)
    axes.plot(np.repeat(rates, 60), image.T.ravel(), ",", color="#1c2024", rasterized=True)
    return figure


@shows("clipping.md", "Clipped gradient descent above the limit: a cycle exactly eta C wide instead of divergence.")
def clipped_cycle():
    figure, axes = canvas("step", "x")
    for cap, colour, dash in ((1.0, BLUE, "-"), (0.4, RED, "--")):
        points = dynamics.orbit(dynamics.ClippedQuadratic(1.0, cap), 3.0, 0.9, steps=40)
        axes.plot(points, "o" + dash, ms=3, lw=1, color=colour, label=f"C = {cap:g}: {3 * cap:g} wide")
    axes.legend(frameon=False)
    return figure


@shows(
    "escape.md",
    "A start in a narrow dent: a small rate is caught, a larger one oscillates inside, a still larger one leaves.",
)
def dent():
    figure, axes = canvas("step", "x")
    for rate, colour, dash in ((0.05, BLUE, "-"), (0.1, AMBER, "--"), (0.3, RED, "-.")):
        axes.plot(
            dynamics.orbit(dynamics.TwoMinima(), rate, 0.97, steps=60), dash, color=colour, label=f"rate {rate:g}"
        )
    axes.legend(frameon=False)
    return figure


@shows(
    "noise.md",
    "The largest rate at which SGD's second moments stay bounded, against the batch: small batches lower it.",
)
def mean_square():
    figure, axes = canvas("batch", "rate", logx=True, logy=True)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5))
    problem = problems.LeastSquares(X, X @ np.ones(5) + 0.1 * rng.standard_normal(60))
    batches = [1, 2, 4, 8, 16, 32, 60]
    rates = [noise.mean_square_limits(problem, batch).stable for batch in batches]
    axes.plot(batches, rates, "o-", color=BLUE, label="mean-square limit")
    axes.axhline(sf.limits(problem).stable, color=RED, ls="--", label="2/L, without noise")
    axes.legend(frameon=False)
    return figure


@shows("scale.md", "The rate for another batch: linear for SGD, the square root for Adam.")
def batch_rates():
    figure, axes = canvas("batch", "rate over the rate at 256", logx=True, logy=True)
    batches = np.array([32, 64, 128, 256, 512, 1024, 2048, 4096])
    for name, colour, dash in (("sgd", BLUE, "-"), ("adamw", RED, "--")):
        axes.plot(
            batches,
            [recipes.scale_batch(0.1, 256, int(b), name).rate / 0.1 for b in batches],
            "o" + dash,
            ms=3,
            color=colour,
            label=name,
        )
    axes.legend(frameon=False)
    return figure


@shows(
    "clip-and-warmup.md",
    "Gradient norms of a run: a clip at their 95th percentile cuts the spikes; a clip at 1 would cut "
    "nearly every step.",
)
def norms():
    figure, axes = canvas("gradient norm", "steps", logx=True)
    sample = np.exp(np.random.default_rng(0).standard_normal(2000) * 0.5 + 1.0)
    axes.hist(sample, bins=np.geomspace(0.3, 30, 50), color=BLUE, alpha=0.6)
    axes.axvline(recipes.clip_advice(sample).value, color=GREEN, label="95th percentile")
    axes.axvline(1.0, color=RED, ls="--", label="clip = 1")
    axes.legend(frameon=False)
    return figure


@shows("audit.md", "A log whose warm-up was counted in epochs instead of steps: the rates that ran, and the plan.")
def audited():
    figure, axes = canvas("step", "learning rate")
    steps = np.arange(1000)
    plan = 0.1 * np.minimum(1, steps / 100) * 0.5 * (1 + np.cos(np.pi * np.clip((steps - 100) / 900, 0, 1)))
    ran = 0.1 * np.minimum(1, steps / 400) * 0.5 * (1 + np.cos(np.pi * np.clip((steps - 400) / 900, 0, 1)))
    axes.plot(plan, "--", color=GREY, label="planned")
    axes.plot(ran, color=RED, label="ran")
    axes.legend(frameon=False)
    return figure


@shows(
    "it-diverged.md",
    "A run whose curvature grows along the way: its loss, and where surefoot why says that it diverged.",
)
def diverged():
    rng = np.random.default_rng(0)
    x, losses = np.full(12, 2.0), []
    for k in range(1000):
        curvature = np.geomspace(0.01, 1.0, 12) * (1 + 1.7 * k / 1000)
        losses.append(0.3 + float(curvature @ x**2) / 2 + 0.01 * rng.standard_normal())
        x = x - 0.8 * (curvature * x + 0.05 * np.sqrt(curvature) * rng.standard_normal(12))
    told = sf.why({"step": range(1000), "loss": losses, "lr": [0.8] * 1000})
    figure, axes = canvas("step", "loss", logy=True)
    axes.plot(losses, color=BLUE)
    for step, text in told.marks:
        axes.axvline(step, color=RED, ls=":")
        axes.annotate(text, (step, max(losses)), xytext=(-6, 0), textcoords="offset points", ha="right", color=RED)
    return figure


@shows(
    "planning-width.md",
    "Curvature of a ReLU network at initialisation against width: predicted before any measurement.",
)
def widths():
    figure, axes = canvas("width", "largest curvature", logx=True, logy=True)
    sizes = [64, 128, 256, 512, 1024, 2048]
    axes.plot(
        sizes,
        [m * (1 / (2 * np.pi) + 1 / (4 * np.pi * 32)) + 1 / (2 * np.pi) for m in sizes],
        "o-",
        color=BLUE,
        label="standard: grows with the width",
    )
    axes.plot(sizes, [0.16746] * len(sizes), "s--", color=RED, label="NTK scaling: free of the width")
    axes.legend(frameon=False)
    return figure


@shows(
    "residual.md", "Signal across residual blocks x + h g(x): a power that depends on h, and is tame at h = 1/sqrt(L)."
)
def depth():
    figure, axes = canvas("depth", "|x| over |x| at the start", logy=True)
    rng, size = np.random.default_rng(0), 128
    for h, name, colour, dash in (
        (1.0, "h = 1", RED, "-"),
        (1 / 8, "h = 1/sqrt L", BLUE, "--"),
        (1 / 64, "h = 1/L", GREEN, "-."),
    ):
        x = rng.standard_normal(size)
        norms_ = [np.linalg.norm(x)]
        for _ in range(64):
            x = x + h * rng.standard_normal((size, size)) @ x / np.sqrt(size)
            norms_.append(np.linalg.norm(x))
        axes.plot(np.asarray(norms_) / norms_[0], dash, color=colour, label=name)
        axes.plot((1 + h * h) ** (np.arange(65) / 2), ":", color=GREY, lw=1)
    axes.legend(frameon=False)
    return figure


@shows("architecture.md", "The rooms, ground floor below: imports point downwards only.")
def rooms():
    floors = (
        "cli",
        "playground",
        "advice",
        "report",
        "targets",
        "testing",
        "training",
        "trials",
        "solvers | audits | certificates",
        "dynamics",
        "noise",
        "problems",
        "stability",
        "spectra | methods | rules | recipes",
        "operators | logs",
        "records | errors",
    )
    figure = Figure(figsize=(5.2, 4.6))
    axes = figure.subplots()
    for level, floor in enumerate(reversed(floors)):
        names = floor.split(" | ")
        for i, name in enumerate(names):
            axes.barh(level, 1 / len(names) - 0.01, left=i / len(names), height=0.82, color=BLUE, alpha=0.15)
            axes.text((i + 0.5) / len(names), level, name, ha="center", va="center", fontsize=9)
    axes.set_axis_off()
    return figure


@shows(
    "playground.md", "One picture of the page: the factor per step of heavy ball over rate and momentum; dark is fast."
)
def momentum_map():
    figure, axes = canvas("rate, in units of 1/L", "momentum")
    rates, momenta = np.linspace(0.01, 4, 160), np.linspace(0, 0.99, 100)
    curvatures = np.array([0.01, 1.0])
    worst = [methods.HeavyBall(float(b)).amplification(-rates[:, None] * curvatures).max(axis=1) for b in momenta]
    image = np.ma.masked_greater(np.asarray(worst), 1.0)
    axes.pcolormesh(rates, momenta, image, cmap="Blues_r", vmin=0.8, vmax=1.0, rasterized=True)
    axes.plot([2, 4], [0, 1], "--", color=AMBER)
    axes.grid(visible=False)
    return figure


@shows(
    "scikit-learn.md",
    "The objective of SGDClassifier after 20 epochs against eta0 on standardised breast cancer, and the suggestion.",
)
def sgd_classifier():
    from sklearn.base import clone
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import SGDClassifier
    from sklearn.preprocessing import StandardScaler

    from surefoot.integrations.sklearn import suggest

    figure, axes = canvas("eta0", "objective", logx=True, logy=True)
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = SGDClassifier(loss="log_loss", alpha=1e-3, max_iter=20, tol=None, learning_rate="adaptive", random_state=0)
    rates, seen = np.geomspace(1e-4, 10, 20), []
    for rate in rates:
        fitted = clone(model).set_params(eta0=rate).fit(X, y)
        margins = (2 * y - 1) * fitted.decision_function(X)
        seen.append(np.logaddexp(0, -margins).mean() + 1e-3 / 2 * (fitted.coef_**2).sum())
    axes.plot(rates, seen, "o-", ms=3, color=BLUE)
    told = suggest(model, X, y)
    axes.axvline(told.parameters["eta0"], color=GREEN, label="suggested")
    axes.axvline(told.limit, color=RED, ls="--", label="mean-square limit")
    axes.legend(frameon=False)
    return figure


@shows("words.md", "Where the words sit: the factor per step of gradient descent against the step, kappa = 5.")
def axis_of_steps():
    figure, axes = canvas("step, in units of 1/L", "factor per step")
    steps, mu = np.linspace(0.0, 2.4, 300), 0.2
    axes.plot(steps, np.maximum(abs(1 - steps * mu), abs(1 - steps)), color=BLUE)
    axes.axhline(1, color=GREY, lw=1)
    marks = ((0.12, "too small", GREY), (1.0, "safe: 1/L", GREEN), (2 / (1 + mu), "best: 2/(L + mu)", GREEN))
    for step, name, colour in marks:
        height = max(abs(1 - step * mu), abs(1 - step))
        axes.plot(step, height, "o", color=colour)
        axes.annotate(name, (step, height), (0, -14), textcoords="offset points", ha="center", va="top", fontsize=10)
    axes.axvspan(1.0, 2 / (1 + mu), color=GREEN, alpha=0.08, lw=0)
    axes.axvspan(2.0, 2.4, color=RED, alpha=0.1, lw=0)
    axes.axvline(2, color=RED, ls="--")
    axes.annotate("speed limit 2/L", (2, 1.3), (-6, 0), textcoords="offset points", ha="right", fontsize=10)
    axes.text(2.2, 0.55, "divergence", ha="center", fontsize=10)
    axes.text((1 + 2 / (1 + mu)) / 2, 1.1, "Goldilocks", ha="center", fontsize=10)
    axes.set(xlim=(0, 2.4), ylim=(0.5, 1.45))
    return figure


@shows("theory.md", "The factor of both ends of the spectrum against the step, and the worse of the two.")
def both_ends():
    figure, axes = canvas("step, in units of 1/L", "factor per step")
    steps, mu = np.linspace(0.0, 2.3, 300), 0.2
    axes.plot(steps, abs(1 - steps), "--", color=RED, label="sharpest direction, |1 - step L|")
    axes.plot(steps, abs(1 - steps * mu), "-.", color=AMBER, label="flattest direction, |1 - step mu|")
    axes.plot(
        steps, np.maximum(abs(1 - steps), abs(1 - steps * mu)), color=BLUE, lw=3, alpha=0.4, label="the worse one"
    )
    axes.axvline(2 / (1 + mu), color=GREEN, ls=":", label="2/(L + mu)")
    axes.axhline(1, color=GREY, lw=1)
    axes.set_ylim(0, 1.9)
    axes.legend(frameon=False, ncols=2, loc="upper left", fontsize=9)
    return figure


@shows(
    "measured.md",
    "The upper end of 200 intervals over the largest eigenvalue, at three stated probabilities of a miss; "
    "a point below the line is a miss.",
)
def upper_ends():
    figure, axes = canvas("stated probability of a miss", "upper end / largest eigenvalue")
    rng, stated = np.random.default_rng(0), (1e-6, 0.1, 0.5)
    for place, (failure, colour) in enumerate(zip(stated, (BLUE, GREEN, AMBER), strict=True)):
        ratios = []
        for trial in range(200):
            values = np.sort(rng.exponential(size=60))
            operator = sf.operators.as_operator(lambda_map(np.diag(values)))
            found = sf.spectrum(
                operator, symmetric=True, which="largest", failure=failure, max_products=8, rtol=0.01, rng=trial
            )
            ratios.append(found.largest.upper / values[-1])
        axes.plot(place + rng.uniform(-0.25, 0.25, 200), ratios, ".", color=colour, alpha=0.6)
    axes.axhline(1, color=RED)
    axes.set_xticks(range(3), [f"{failure:g}" for failure in stated])
    return figure


@shows("results.md", "Two runs that were written as JSON and read back: the loss of each after every step.")
def read_back():
    figure, axes = canvas("step", "loss less the least", logy=True)
    problem = logistic()
    chosen = (
        ("the safe step", rules.Constant(step=sf.limits(problem).safe)),
        ("Barzilai-Borwein", rules.BarzilaiBorwein()),
    )
    runs = [(name, sf.descend(problem, rule=rule, steps=80)) for name, rule in chosen]
    read = [(name, type(run).from_dict(json.loads(json.dumps(run.to_dict())))) for name, run in runs]
    least = min(run.trace.loss.min() for _, run in read)
    for (name, run), colour, dash in zip(read, (BLUE, GREEN), DASHES, strict=False):
        axes.plot(run.trace.loss[:-1] - least + 1e-12, dash, color=colour, label=name)
    axes.legend(frameon=False)
    return figure


@shows(
    "practices.md",
    "Practice 2: power iteration errs below the largest eigenvalue, so the limit comes out too large.",
)
def power_iteration():
    figure, axes = canvas("products with the matrix", "2/estimate over the true limit")
    values = np.linspace(0.01, 1.0, 400)
    for seed, dash in zip(range(4), DASHES, strict=True):
        v, seen = np.random.default_rng(seed).standard_normal(400), []
        for _ in range(40):
            v = v / np.linalg.norm(v)
            seen.append(1 / (v @ (values * v)))
            v = values * v
        axes.plot(range(1, 41), seen, dash, color=BLUE, alpha=0.8)
    axes.axhline(1, color=RED, ls="--")
    axes.text(40, 1.01, "the true limit", color=RED, ha="right", va="bottom")
    return figure


@shows("contributing.md", "What the test of a limit looks at: the error after 1,000 steps on either side of it.")
def both_sides():
    figure, axes = canvas("step over the method's limit", "error after 1,000 steps", logy=True)
    shares = np.linspace(0.99, 1.01, 41)
    axes.set_xticks([0.99, 0.995, 1.0, 1.005, 1.01])
    cases = (methods.GradientDescent(), methods.HeavyBall(0.9), methods.Nesterov(0.9))
    for method, dash, colour in zip(cases, DASHES, (BLUE, RED, GREEN), strict=False):
        growth = method.amplification(-shares * method.real_limit)
        axes.plot(shares, growth**1000, dash, color=colour, label=method.name)
    axes.set_ylim(1e-12, 1e12)
    axes.axvline(1, color=GREY, lw=1)
    axes.axhline(1, color=GREY, lw=1)
    axes.legend(frameon=False)
    return figure


@shows("list.md", "What the registry holds, by kind.")
def named_targets():
    rows = [row for row in sf.targets.registry() if row.name != "FILE"]
    kinds = ("network", "problem", "ode", "map")
    figure = Figure(figsize=(7.2, 4.2))
    axes = figure.subplots()
    for column, (kind, colour) in enumerate(zip(kinds, (BLUE, GREEN, AMBER, RED), strict=True)):
        names = [row.name for row in rows if row.kind == kind]
        axes.text(column, 0.7, f"{kind} ({len(names)})", ha="center", weight="bold", color=colour)
        for place, name in enumerate(names):
            axes.text(column, -place, name, ha="center", va="center", fontsize=9)
    axes.set(xlim=(-0.5, 3.6), ylim=(-9.5, 1.3))
    axes.set_axis_off()
    return figure


@shows("pylops.md", "Landweber's iteration on a blurred signal at four steps around its limit 2/|A|^2.")
def landweber():
    figure, axes = canvas("iteration", "sum of squared residuals", logy=True)
    width = np.exp(-(np.arange(-8, 9) ** 2) / 8.0)
    A = np.array([np.convolve(row, width / width.sum(), mode="same") for row in np.eye(128)]).T
    data = A @ (np.arange(128) % 32 < 8) + 1e-3 * np.random.default_rng(0).standard_normal(128)
    norm = spectra.norm_squared(A).upper
    for share, dash, colour in zip((0.5, 1.0, 1.95, 2.02), DASHES, (GREY, GREEN, AMBER, RED), strict=True):
        x, seen = np.zeros(128), []
        for _ in range(400):
            residual = A @ x - data
            seen.append(residual @ residual)
            x = x - share / norm * (A.T @ residual)
        axes.plot(seen, dash, color=colour, label=f"{share:g}/|A|²")
    axes.set_ylim(1e-4, 1e3)
    axes.legend(frameon=False)
    return figure


@shows("json.md", "How many entries a record of each kind on this page has.")
def entries():
    text = (Path(__file__).parent / "json.md").read_text(encoding="utf-8")
    kinds = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    counts = [(kind, len(re.findall(r"^\| \w", body, flags=re.MULTILINE)) - 1) for kind, body in kinds]
    counts = sorted((pair for pair in counts if pair[1] > 0), key=lambda pair: pair[1])
    figure, axes = canvas("entries", "")
    figure.set_figheight(0.22 * len(counts) + 1)
    axes.barh([kind for kind, _ in counts], [count for _, count in counts], color=BLUE, alpha=0.6)
    axes.tick_params(axis="y", labelsize=8)
    return figure


@shows("benchmarks.md", "Training without a rate: how many of eighteen tasks end with at most 1, 3 and 10% regret.")
def regrets():
    results = json.loads((Path(__file__).parents[1] / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    figure, axes = canvas("tasks", "")
    adamw, sgd = (results[f"rate-free-{family}"]["tables"][0]["rows"][::-1] for family in ("adamw", "sgd"))
    rows = [*adamw, *sgd]
    figure.set_figheight(0.22 * len(rows) + 1)
    # a gap between the two kinds of directions
    places = [i + (i >= len(adamw)) for i in range(len(rows))]
    for column, colour, label in ((4, GREY, "at most 10%"), (3, BLUE, "3%"), (2, GREEN, "1%")):
        axes.barh(places, [row[column] for row in rows], color=colour, alpha=0.7, label=label)
    axes.set_yticks(places, [row[0] for row in rows], fontsize=8)
    axes.legend(frameon=False)
    return figure


@shows(
    "past-one-machine.md",
    "What a GPU receives for one product with the Hessian of a model of 7 billion parameters, by the sums below.",
)
def bytes_received():
    figure, axes = canvas("GPUs", "gigabytes per product", logx=True)
    gpus = np.array([1, 2, 4, 8, 16, 32, 64])
    vector, others = 4 * 7.0, (gpus - 1) / gpus
    axes.plot(gpus, 3.5 * vector * others, "o-", color=RED, label="received, model in parts")
    axes.plot(gpus, 2 * vector * others, "o-", color=BLUE, label="received, data in parts")
    axes.plot(gpus, 8 * vector / gpus, "o--", color=GREY, label="kept: eight vectors in parts")
    axes.legend(frameon=False)
    return figure
