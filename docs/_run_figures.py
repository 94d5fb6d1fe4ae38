"""The figures of the pages on runs, their logs and where they end in the long run."""

import json

import numpy as np
from _figures import AMBER, BLUE, DASHES, GREEN, GREY, RED, by_products, logistic, quadratic, shows

import surefoot as sf
from surefoot import dynamics, problems, recipes, rules, solvers, trials


@shows(
    "advise.md",
    "What stands behind a suggestion: the losses of short real runs against the step, and the linear limit.",
)
def short_runs(axes):
    axes.set(xlabel="step", ylabel="loss after a short run", xscale="log", yscale="log")
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


@shows(
    "rules.md", "Five rules on one logistic regression, from the same start: the gap to the minimum against gradients."
)
def several_rules(axes):
    axes.set(xlabel="gradients", ylabel="loss less its minimum", yscale="log")
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


@shows(
    "descend.md",
    "The step that a Barzilai-Borwein run took, beside the limit 2/L: a method may pass it for a while "
    "and still converge.",
)
def steps_taken(axes):
    axes.set(xlabel="evaluation", ylabel="step", yscale="log")
    problem = quadratic(200.0)
    run = sf.descend(problem, np.ones(20), rule=rules.BarzilaiBorwein(), steps=80)
    axes.plot(run.trace.step, "o-", ms=3, lw=1, color=BLUE, label="step")
    axes.axhline(sf.limits(problem).stable, color=RED, ls="--", label="2/L")


@shows(
    "run.md",
    "What one run reports: the loss along a run, with the loss that the second-order model expected of each step.",
)
def one_run(axes):
    axes.set(xlabel="evaluation", ylabel="loss", yscale="log")
    run = sf.descend(logistic(), rule=rules.Armijo(), steps=30)
    axes.plot(run.trace.loss, "o-", ms=3, color=BLUE, label="loss")
    expected = run.trace.loss[:-1] + run.trace.predicted[1:]
    axes.plot(np.arange(1, len(run.trace)), expected, "x", color=RED, label="expected by the second-order model")


@shows("race.md", "A race: gradients that each rule needed until the gap was a millionth, on one logistic regression.")
def race_bars(axes):
    axes.set(xlabel="gradients to a gap of 1e-6 of the first")
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


@shows("sweep.md", "A sweep: the final loss against the rate, with the linear limit.")
def swept():
    from surefoot.report.figures import sweep_figure

    return sweep_figure(trials.sweep(logistic(), count=24, steps=200).to_dict())


@shows(
    "deblurring.md",
    "Where the noise takes over: the error of the picture along two methods; fast ones peak early and "
    "then amplify noise.",
)
def deblurred(axes):
    from scipy.ndimage import gaussian_filter

    axes.set(xlabel="step", ylabel="signal to noise ratio of the result, dB")
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


@shows(
    "orbit.md",
    "A recurrent network's weight after many steps of training, for each rate: one value, two, four, ..., chaos.",
)
def recurrent_orbit(axes):
    axes.set(xlabel="step", ylabel="weight")
    draw_orbits(axes, dynamics.TanhRNN(), np.linspace(1.0, 4.2, 500), 1.0)


@shows(
    "long-run.md",
    "Gradient descent on the cubic loss is the logistic map: past 2/a it doubles its period and becomes chaotic.",
)
def cubic_orbit(axes):
    axes.set(xlabel="step", ylabel="x")
    draw_orbits(axes, dynamics.Cubic(1.0), np.linspace(1.5, 3.0, 600), 0.3)


def draw_orbits(axes, update, rates, start):
    """The last states of an orbit for each rate, as dots."""
    points = dynamics.orbit(update, rates, start, steps=1500, keep=60)
    image = np.where(np.isfinite(points), points, np.nan)
    axes.plot(np.repeat(rates, 60), image.T.ravel(), ",", color="#1c2024", rasterized=True)


@shows("clipping.md", "Clipped gradient descent above the limit: a cycle exactly eta C wide instead of divergence.")
def clipped_cycle(axes):
    axes.set(xlabel="step", ylabel="x")
    for cap, colour, dash in ((1.0, BLUE, "-"), (0.4, RED, "--")):
        points = dynamics.orbit(dynamics.ClippedQuadratic(1.0, cap), 3.0, 0.9, steps=40)
        axes.plot(points, "o" + dash, ms=3, lw=1, color=colour, label=f"C = {cap:g}: {3 * cap:g} wide")


@shows(
    "escape.md",
    "A start in a narrow dent: a small rate is caught, a larger one oscillates inside, a still larger one leaves.",
)
def dent(axes):
    axes.set(xlabel="step", ylabel="x")
    for rate, colour, dash in ((0.05, BLUE, "-"), (0.1, AMBER, "--"), (0.3, RED, "-.")):
        axes.plot(
            dynamics.orbit(dynamics.TwoMinima(), rate, 0.97, steps=60), dash, color=colour, label=f"rate {rate:g}"
        )


@shows(
    "clip-and-warmup.md",
    "Gradient norms of a run: a clip at their 95th percentile cuts the spikes; a clip at 1 would cut "
    "nearly every step.",
)
def norms(axes):
    axes.set(xlabel="gradient norm", ylabel="steps", xscale="log")
    sample = np.exp(np.random.default_rng(0).standard_normal(2000) * 0.5 + 1.0)
    axes.hist(sample, bins=np.geomspace(0.3, 30, 50), color=BLUE, alpha=0.6)
    axes.axvline(recipes.clip_advice(sample).value, color=GREEN, label="95th percentile")
    axes.axvline(1.0, color=RED, ls="--", label="clip = 1")


@shows("audit.md", "A log whose warm-up was counted in epochs instead of steps: the rates that ran, and the plan.")
def audited(axes):
    axes.set(xlabel="step", ylabel="learning rate")
    steps = np.arange(1000)
    plan = 0.1 * np.minimum(1, steps / 100) * 0.5 * (1 + np.cos(np.pi * np.clip((steps - 100) / 900, 0, 1)))
    ran = 0.1 * np.minimum(1, steps / 400) * 0.5 * (1 + np.cos(np.pi * np.clip((steps - 400) / 900, 0, 1)))
    axes.plot(plan, "--", color=GREY, label="planned")
    axes.plot(ran, color=RED, label="ran")


@shows(
    "it-diverged.md",
    "A run whose curvature grows along the way: its loss, and where surefoot why says that it diverged.",
)
def diverged(axes):
    rng = np.random.default_rng(0)
    x, losses = np.full(12, 2.0), []
    for k in range(1000):
        curvature = np.geomspace(0.01, 1.0, 12) * (1 + 1.7 * k / 1000)
        losses.append(0.3 + float(curvature @ x**2) / 2 + 0.01 * rng.standard_normal())
        x = x - 0.8 * (curvature * x + 0.05 * np.sqrt(curvature) * rng.standard_normal(12))
    told = sf.why({"step": range(1000), "loss": losses, "lr": [0.8] * 1000})
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.plot(losses, color=BLUE)
    for step, text in told.marks:
        axes.axvline(step, color=RED, ls=":")
        axes.annotate(text, (step, max(losses)), xytext=(-6, 0), textcoords="offset points", ha="right", color=RED)


@shows(
    "scikit-learn.md",
    "The objective of SGDClassifier after 20 epochs against eta0 on standardised breast cancer, and the suggestion.",
)
def sgd_classifier(axes):
    from sklearn.base import clone
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import SGDClassifier
    from sklearn.preprocessing import StandardScaler

    from surefoot.integrations.sklearn import suggest

    axes.set(xlabel="eta0", ylabel="objective", xscale="log", yscale="log")
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


@shows(
    "measured.md",
    "The upper end of 200 intervals over the largest eigenvalue, at three stated probabilities of a miss; "
    "a point below the line is a miss.",
)
def upper_ends(axes):
    axes.set(xlabel="stated probability of a miss", ylabel="upper end / largest eigenvalue")
    rng, stated = np.random.default_rng(0), (1e-6, 0.1, 0.5)
    for place, (failure, colour) in enumerate(zip(stated, (BLUE, GREEN, AMBER), strict=True)):
        ratios = []
        for trial in range(200):
            values = np.sort(rng.exponential(size=60))
            operator = sf.operators.as_operator(by_products(np.diag(values)))
            found = sf.spectrum(
                operator, symmetric=True, which="largest", failure=failure, max_products=8, rtol=0.01, rng=trial
            )
            ratios.append(found.largest.upper / values[-1])
        axes.plot(place + rng.uniform(-0.25, 0.25, 200), ratios, ".", color=colour, alpha=0.6)
    axes.axhline(1, color=RED)
    axes.set_xticks(range(3), [f"{failure:g}" for failure in stated])


@shows("results.md", "Two runs that were written as JSON and read back: the loss of each after every step.")
def read_back(axes):
    axes.set(xlabel="step", ylabel="loss less the least", yscale="log")
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
