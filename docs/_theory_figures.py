"""The figures of the pages on limits, methods, spectra and noise: what theory says, and what is seen."""

import numpy as np
from _figures import AMBER, BLUE, DASHES, GREEN, GREY, RED, by_products, logistic, quadratic, shows

import surefoot as sf
from surefoot import methods, noise, problems, recipes, rules, spectra


@shows("how-big-a-step-zh.md", "同一个二次函数上四种步长的梯度下降：慢、好、略小于极限 2/L、略大于极限。")
@shows(
    "how-big-a-step.md",
    "Gradient descent on one quadratic at four steps: slow, good, just below the limit 2/L, just above it.",
)
def four_steps(axes):
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    problem, start = quadratic(), np.ones(20)
    cases = (("0.2/L: slow", 0.2), ("1.9/L: good", 1.9), ("1.995/L: oscillates", 1.995), ("2.03/L: diverges", 2.03))
    for (name, step), dash, colour in zip(cases, DASHES, (GREY, GREEN, AMBER, RED), strict=True):
        x, losses = start.copy(), []
        for _ in range(150):
            losses.append(problem.value(x))
            x = x - step * problem.gradient(x)
        axes.plot(losses, dash, color=colour, label=name)
    axes.set_ylim(1e-6, 1e3)


@shows(
    "limits.md",
    "The factor per step of the slowest direction against the step; where a curve crosses 1 is the method's limit.",
)
def factors(axes):
    axes.set(xlabel="step, in units of 1/L", ylabel="worst factor per step")
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


@shows("methods.md", "Stability regions: where step times eigenvalue must lie.")
def regions(axes):
    axes.set(xlabel="real part", ylabel="imaginary part")
    cases = (methods.ForwardEuler(), methods.Heun(), methods.RK4(), methods.AdamsBashforth(2))
    x, y = np.linspace(-3.5, 1, 300), np.linspace(-3.2, 3.2, 300)
    z = x[None, :] + 1j * y[:, None]
    for method, colour, dash in zip(
        cases, (BLUE, GREEN, RED, AMBER), ("solid", "dashed", "dashdot", "dotted"), strict=True
    ):
        axes.contour(x, y, method.amplification(z), levels=[1.0], colors=[colour], linestyles=[dash])
        axes.plot([], [], color=colour, ls=dash, label=method.name)
    axes.set_aspect("equal")
    axes.legend(loc="upper left", fontsize=9)


@shows(
    "spectrum.md",
    "An interval for the largest eigenvalue against products: the lower end is proved, the upper end "
    "holds with probability 1 - 1e-6.",
)
def interval(axes):
    axes.set(xlabel="products with the matrix", ylabel="largest eigenvalue")
    A = np.diag(np.linspace(0.0, 1.0, 2000))
    operator = sf.operators.as_operator(by_products(A))
    products = np.arange(8, 80, 4)
    ends = [
        sf.spectrum(operator, symmetric=True, which="largest", rtol=1e-9, max_products=int(k)).largest for k in products
    ]
    axes.fill_between(products, [end.lower for end in ends], [end.upper for end in ends], color=BLUE, alpha=0.25)
    axes.plot(products, [end.upper for end in ends], "-", color=BLUE, label="upper end")
    axes.plot(products, [end.lower for end in ends], "--", color=BLUE, label="lower end")
    axes.axhline(1.0, color=GREY, lw=1)


@shows(
    "problems.md",
    "Logistic regression: the curvature at random points never exceeds the bound in closed form that the "
    "limit comes from.",
)
def global_bound(axes):
    axes.set(xlabel="distance from the origin", ylabel="largest curvature there", xscale="log")
    problem, rng = logistic(), np.random.default_rng(1)
    sizes, seen = np.geomspace(0.01, 10, 60), []
    for size in sizes:
        direction = rng.standard_normal(problem.size)
        seen.append(np.linalg.eigvalsh(problem.hessian_matrix(size * direction / np.linalg.norm(direction)))[-1])
    axes.plot(sizes, seen, "o", color=BLUE, ms=3, label="at a random point")
    axes.axhline(problem.curvature().largest.upper, color=RED, ls="--", label="bound in closed form")


@shows(
    "preconditioning.md",
    "The same quadratic with scales 1 to 10,000, before and after Jacobi scaling, each at its best step.",
)
def scaled(axes):
    axes.set(xlabel="step", ylabel="loss", yscale="log")
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


@shows("robust.md", "Curvature of 2,000 matrices whose entries are uncertain by 0.1, and the certified worst case.")
def uncertain(axes):
    axes.set(xlabel="largest squared singular value", ylabel="matrices")
    nominal, rng = np.array([[2.0, 1.0], [1.0, 3.0]]), np.random.default_rng(0)
    draws = nominal + rng.uniform(-0.1, 0.1, (2000, 2, 2))
    axes.hist(np.linalg.norm(draws, 2, axis=(1, 2)) ** 2, bins=40, color=BLUE, alpha=0.7)
    certified = spectra.worst_case(spectra.Rectangular(nominal - 0.1, nominal + 0.1)).largest.upper
    axes.axvline(certified, color=RED, ls="--", label="worst case")
    axes.axvline(np.linalg.norm(nominal, 2) ** 2, color=GREY, ls=":", label="as given")


@shows(
    "random-matrices.md",
    "Eigenvalues of a sample covariance (500 samples, 250 features) and the Marchenko-Pastur density.",
)
def marchenko_pastur(axes):
    axes.set(xlabel="eigenvalue", ylabel="density")
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


@shows(
    "learning-rate-is-a-time-step.md",
    "Euler on x' = -x with four time steps: the same four fates as gradient descent's.",
)
def time_steps(axes):
    axes.set(xlabel="time", ylabel="x")
    for h, colour, dash in ((0.2, BLUE, "-"), (1.0, GREEN, "--"), (1.8, AMBER, "-."), (2.1, RED, ":")):
        n = int(12 / h)
        axes.plot(h * np.arange(n + 1), (1 - h) ** np.arange(n + 1), "o" + dash, ms=3, color=colour, label=f"h = {h:g}")
    axes.plot(np.linspace(0, 12, 200), np.exp(-np.linspace(0, 12, 200)), color=GREY, lw=1, label="exact")
    axes.legend(ncols=2, fontsize=9)


@shows(
    "region.md", "The stability region of RK4: |R(z)| = 1 is its edge; -2.785 and 2.828i are the limits on the axes."
)
def rk4_region():
    from surefoot.report.figures import region_figure

    return region_figure(methods.RK4().region())


@shows(
    "noise.md",
    "The largest rate at which SGD's second moments stay bounded, against the batch: small batches lower it.",
)
def mean_square(axes):
    axes.set(xlabel="batch", ylabel="rate", xscale="log", yscale="log")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5))
    problem = problems.LeastSquares(X, X @ np.ones(5) + 0.1 * rng.standard_normal(60))
    batches = [1, 2, 4, 8, 16, 32, 60]
    rates = [noise.mean_square_limits(problem, batch).stable for batch in batches]
    axes.plot(batches, rates, "o-", color=BLUE, label="mean-square limit")
    axes.axhline(sf.limits(problem).stable, color=RED, ls="--", label="2/L, without noise")


@shows("scale.md", "The rate for another batch: linear for SGD, the square root for Adam.")
def batch_rates(axes):
    axes.set(xlabel="batch", ylabel="rate over the rate at 256", xscale="log", yscale="log")
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


@shows(
    "planning-width.md",
    "Curvature of a ReLU network at initialisation against width: predicted before any measurement.",
)
def widths(axes):
    axes.set(xlabel="width", ylabel="largest curvature", xscale="log", yscale="log")
    sizes = [64, 128, 256, 512, 1024, 2048]
    axes.plot(
        sizes,
        [m * (1 / (2 * np.pi) + 1 / (4 * np.pi * 32)) + 1 / (2 * np.pi) for m in sizes],
        "o-",
        color=BLUE,
        label="standard: grows with the width",
    )
    axes.plot(sizes, [0.16746] * len(sizes), "s--", color=RED, label="NTK scaling: free of the width")


@shows(
    "residual.md", "Signal across residual blocks x + h g(x): a power that depends on h, and is tame at h = 1/sqrt(L)."
)
def depth(axes):
    axes.set(xlabel="depth", ylabel="|x| over |x| at the start", yscale="log")
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


@shows("words.md", "Where the words sit: the factor per step of gradient descent against the step, kappa = 5.")
def axis_of_steps(axes):
    axes.set(xlabel="step, in units of 1/L", ylabel="factor per step")
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


@shows("theory.md", "The factor of both ends of the spectrum against the step, and the worse of the two.")
def both_ends(axes):
    axes.set(xlabel="step, in units of 1/L", ylabel="factor per step")
    steps, mu = np.linspace(0.0, 2.3, 300), 0.2
    axes.plot(steps, abs(1 - steps), "--", color=RED, label="sharpest direction, |1 - step L|")
    axes.plot(steps, abs(1 - steps * mu), "-.", color=AMBER, label="flattest direction, |1 - step mu|")
    axes.plot(
        steps, np.maximum(abs(1 - steps), abs(1 - steps * mu)), color=BLUE, lw=3, alpha=0.4, label="the worse one"
    )
    axes.axvline(2 / (1 + mu), color=GREEN, ls=":", label="2/(L + mu)")
    axes.axhline(1, color=GREY, lw=1)
    axes.set_ylim(0, 1.9)
    axes.legend(ncols=2, loc="upper left", fontsize=9)


@shows(
    "practices.md",
    "Practice 2: power iteration errs below the largest eigenvalue, so the limit comes out too large.",
)
def power_iteration(axes):
    axes.set(xlabel="products with the matrix", ylabel="2/estimate over the true limit")
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


@shows("contributing.md", "What the test of a limit looks at: the error after 1,000 steps on either side of it.")
def both_sides(axes):
    axes.set(xlabel="step over the method's limit", ylabel="error after 1,000 steps", yscale="log")
    shares = np.linspace(0.99, 1.01, 41)
    axes.set_xticks([0.99, 0.995, 1.0, 1.005, 1.01])
    cases = (methods.GradientDescent(), methods.HeavyBall(0.9), methods.Nesterov(0.9))
    for method, dash, colour in zip(cases, DASHES, (BLUE, RED, GREEN), strict=False):
        growth = method.amplification(-shares * method.real_limit)
        axes.plot(shares, growth**1000, dash, color=colour, label=method.name)
    axes.set_ylim(1e-12, 1e12)
    axes.axvline(1, color=GREY, lw=1)
    axes.axhline(1, color=GREY, lw=1)


@shows("pylops.md", "Landweber's iteration on a blurred signal at four steps around its limit 2/|A|^2.")
def landweber(axes):
    axes.set(xlabel="iteration", ylabel="sum of squared residuals", yscale="log")
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


@shows(
    "playground.md", "One picture of the page: the factor per step of heavy ball over rate and momentum; dark is fast."
)
def momentum_map(axes):
    axes.set(xlabel="rate, in units of 1/L", ylabel="momentum")
    rates, momenta = np.linspace(0.01, 4, 160), np.linspace(0, 0.99, 100)
    curvatures = np.array([0.01, 1.0])
    worst = [methods.HeavyBall(float(b)).amplification(-rates[:, None] * curvatures).max(axis=1) for b in momenta]
    image = np.ma.masked_greater(np.asarray(worst), 1.0)
    axes.pcolormesh(rates, momenta, image, cmap="Blues_r", vmin=0.8, vmax=1.0, rasterized=True)
    axes.plot([2, 4], [0, 1], "--", color=AMBER)
    axes.grid(visible=False)
