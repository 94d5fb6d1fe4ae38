"""Groups made of scripts that have a life of their own: curvature, the guard, integrators.

Run: python -m benchmarks curvature guard integrators. Each takes the functions of its script and makes a table.
"""

import math
import statistics
import subprocess
import sys
from pathlib import Path

from bench import Table, optional

# Peers of the curvature of a network: the name of a row, and its module.
CURVATURE = {"eigenthings": "hessian_eigenthings", "PyHessian": "pyhessian"}


def curvature(quick):
    """Products, gradients' worth of time, error and peak memory of the largest eigenvalue of six Hessians."""
    import curvature as script
    import torch

    torch.set_num_threads(1)
    for module in ("curvlinops", *CURVATURE.values()):
        optional(module)
    cases = [(name, after) for after in ((0,) if quick else (0, 200)) for name in script.PROBLEMS]
    rows, costs = [], {}
    for name, after in cases[: 1 if quick else None]:
        found = script.row(name, after)
        ours = ("Surefoot, interval", found["products"], found["cost"], None, "yes" if found["holds"] else "NO")
        lines = [ours, ("  its set-up, in that", None, found["setup"], None, None)]
        lines += [("bare Lanczos, stops changing", found["stopped"], None, None, "no")]
        if "peer_cost" in found:
            lines += [("curvlinops + eigsh", found["peer_products"], found["peer_cost"], found["peer_error"], "no")]
        for peer in CURVATURE:
            if peer in found:
                lines += [(peer, None, *found[peer], "no")]
        for line in lines:
            error = None if line[3] is None else f"{100 * line[3]:.2g}"
            rows.append((found["case"], *line[:3], error, line[4]))
            if line[2] is not None and line[0] != lines[1][0]:
                costs.setdefault(line[0], {})[found["case"]] = line[2]
        print("  ", found["case"], flush=True)
    mine = costs["Surefoot, interval"]
    over = []
    for peer, theirs in costs.items():
        ratios = [mine[case] / theirs[case] for case in theirs]
        wins = sum(ratio < 1 for ratio in ratios)
        over.append((peer, statistics.geometric_mean(ratios), min(ratios), max(ratios), f"{wins} of {len(ratios)}"))
    columns = ("network", "by", "products", "time in gradients", "error %", "certified")
    note = (
        "Ours: an interval of 1% at failure 1e-3, its self-check in the cost. mlp, cnn, gpt at initialisation (0) and "
        "after 200 steps of gradient descent. PyHessian takes the largest modulus for the top."
    )
    titles = ("Surefoot's time over that of", "geometric mean", "least", "largest", "Surefoot is faster on")
    return [Table("summary", titles, over[1:]), Table("curvature", columns, rows, note), memory(quick)]


# Peak memory of each, in a process of its own. Linux forgets the peak so far on request ("5", proc(5)); what the heap
# had freed before is given back first, so that it does not serve the call unseen.
MEMORY = """
import ctypes, gc, re, sys
sys.path.insert(0, {folder!r})
import torch
from tasks_small import trained
torch.set_num_threads(1)
model, criterion, batch = trained("gpt", 0)
torch.autograd.grad(criterion(model(batch[0]), batch[1]), list(model.parameters()))
{imports}
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")
memory = lambda key: int(re.search(key + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
before = memory("VmRSS")
{call}
print(memory("VmHWM") - before)
"""
WAYS = {
    "Surefoot": (
        "surefoot",
        "import surefoot as sf; from surefoot.training import hessian, supervised; sf.spectrum([[2.0, 1], [1, 2]])",
        "sf.spectrum(hessian(model, supervised(criterion), batch), which='largest', rtol=0.01, failure=1e-3)",
    ),
    "curvlinops + eigsh": (
        "curvlinops",
        "from scipy.sparse.linalg import eigsh; from curvlinops import HessianLinearOperator",
        "eigsh(HessianLinearOperator(model, torch.nn.CrossEntropyLoss(), list(model.parameters()), [batch]).to_scipy(),"
        " k=1, which='LA')",
    ),
    "eigenthings": (
        "hessian_eigenthings",
        "from hessian_eigenthings import HessianOperator, lanczos, supervised_loss",
        "lanczos(HessianOperator(model, [batch], supervised_loss(criterion)), k=1, max_iter=20, which='LA', seed=0)",
    ),
    "PyHessian": (
        "pyhessian",
        "from pyhessian import hessian as of",
        "of(model, criterion, data=batch, cuda=False).eigenvalues(top_n=1)",
    ),
}


def memory(quick):
    """MB that each takes at most, on the transformer at initialisation."""
    gradient = "torch.autograd.grad(criterion(model(batch[0]), batch[1]), list(model.parameters()))"
    rows = []
    for name, (module, imports, call) in {"a gradient": ("torch", "", gradient), **WAYS}.items():
        if quick and rows:
            break
        if optional(module) is None:
            continue
        code = MEMORY.format(folder=str(Path(__file__).parent), imports=imports, call=call)
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
        rows.append((name, float(done.stdout.split()[-1]) if done.returncode == 0 else None))
    note = "Peak resident memory over what was there before the call, on gpt0 (112,000 parameters, 1,024 characters)."
    return Table("memory", ("by", "MB"), rows, note)


def rescues(quick):
    """Runs at multiples of the best rate, guarded and not: how many end worse than the best constant predictor."""
    import guard as script

    tasks = list(script.built(script.TASKS))[: 1 if quick else None]
    rows = []
    for multiple in (1.0, 10.0, 100.0):
        for family in ("SGD", "AdamW"):
            plain_bad = guarded_bad = runs = events = better = worse = 0
            for task in tasks:
                plain = script.run(task, family, multiple, 0, False)[0]
                kept, _, guard = script.run(task, family, multiple, 0, True)
                # a run that is no longer finite is worse than any other
                plain, kept = (loss if math.isfinite(loss) else math.inf for loss in (plain, kept))
                runs, events = runs + 1, events + len(guard.history)
                plain_bad += not plain <= task.constant
                guarded_bad += not kept <= task.constant
                # a hundredth of what there is to gain
                margin = 0.01 * (task.constant - task.losses[family == "AdamW"])
                better += plain > kept + margin
                worse += kept > plain + margin
            rows.append(
                (f"{multiple:g}", family, f"{plain_bad} of {runs}", f"{guarded_bad} of {runs}", better, worse, events)
            )
            print("  ", *rows[-1], flush=True)
    columns = ("times the best rate", "optimizer", "plain ends worse than a constant", "guarded", "guarded is better",
               "guarded is worse", "interventions")  # fmt: skip
    return [Table("rescues", columns, rows, "Better and worse: by over 1% of regret. One seed of each task.")]


def integrators(quick):
    """The recommended integrator against the work of SciPy's on 22 equations."""
    import stiffness as script

    from surefoot.solvers import diagnose

    methods = ("RK45", "RKC", "Radau", "BDF")

    rows, count = [], 0
    for name, make in list(script.EQUATIONS.items())[: 3 if quick else None]:
        fun, start, span, options = make()
        found = diagnose(fun, 0.0, start, span=span, **options)
        works = {t.method: f"{t.work:.3g}" if t.finished else f"> {t.work:.3g}" for t in found.trials}
        good = script.right(found)
        count += good
        row = (name, f"{found.recommendation}, {found.method}", *(works.get(m) for m in methods), good)
        rows.append(row)
    note = (
        f"{count} of {len(rows)} right: near the reference, and none as near took a third of its work. Work in "
        "evaluations; > gave up or failed there."
    )
    columns = ("equation", "recommended", *methods, "right")
    return [Table("integrators", columns, rows, note)]
