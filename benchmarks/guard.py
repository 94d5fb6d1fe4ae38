# ruff: noqa: D101, D102 - six tasks, each what its name says
"""The guard on six small training tasks: what it costs, what it does where nothing is wrong, what it saves.

    python benchmarks/guard.py cost     paired overhead of a guarded step over a plain one
    python benchmarks/guard.py calm     1/100, 1/10 and 1 x the best rate: interventions, and bitwise equality
    python benchmarks/guard.py fast     100 x the best rate, guarded and not, beside the best constant predictor; with
                                        --multiples 3 10 30 1000 other ones. Also what it does to runs that end well
                                        by themselves: within 10% regret of the best loss of a sweep

Single-threaded. Needs scikit-learn; the tasks `cnn` and the rows `schedule-free` need the packages mnist1d and
schedulefree, and are left out without them.
"""

import argparse
import itertools
import math
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

from surefoot.errors import Diverged
from surefoot.training import Guard

torch.set_num_threads(1)


class Task:
    """Fixed data and split, seeded initialisation and batches.

    `rates` are the best swept SGD (momentum 0.9, cosine) and AdamW (warmup of a tenth, cosine) ones, `losses` what
    they reach.
    """

    classification = True

    def __init__(self):
        self.x, self.y = self.data()
        self.constant = entropy(self.y) if self.classification else float(self.y.var())

    def loss(self, model, x, y):
        return F.cross_entropy(model(x), y)

    def batches(self, seed):
        g = torch.Generator().manual_seed(1000 + seed)
        while True:
            order = torch.randperm(len(self.x), generator=g)
            for i in range(0, len(self.x) - self.batch + 1, self.batch):
                chosen = order[i : i + self.batch]
                yield self.x[chosen], self.y[chosen]

    @torch.no_grad()
    def final(self, model):
        return self.loss(model, self.x[:2000], self.y[:2000]).item()


def entropy(y):
    p = torch.bincount(y.flatten()).double() / y.numel()
    return float(-(p[p > 0] * p[p > 0].log()).sum())


def four_fifths(x, y):
    g = torch.Generator().manual_seed(0)
    order = torch.randperm(len(x), generator=g)[int(0.2 * len(x)) :]
    return x[order], y[order]


def relu_network(*widths):
    layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


class Logistic(Task):
    name, steps, batch, rates = "logistic", 500, 128, (0.01, 1.0)
    losses = (0.020, 0.0)

    def data(self):
        from sklearn.datasets import load_digits

        found = load_digits()
        return four_fifths(torch.tensor(found.data, dtype=torch.float32), torch.tensor(found.target))

    def model(self):
        return nn.Linear(64, 10)


class Cancer(Task):
    name, steps, batch, rates = "mlp raw cancer", 500, 64, (1e-4, 0.01)
    losses = (0.204, 0.136)

    def data(self):
        from sklearn.datasets import load_breast_cancer

        found = load_breast_cancer()
        return four_fifths(torch.tensor(found.data, dtype=torch.float32), torch.tensor(found.target))

    def model(self):
        return relu_network(30, 64, 32, 2)


class Digits(Logistic):
    name, steps, batch, rates = "mlp digits", 600, 128, (0.32, 0.032)
    losses = (0.124, 0.023)

    def data(self):
        x, y = super().data()
        g = torch.Generator().manual_seed(5)
        wrong = torch.rand(len(y), generator=g) < 0.1
        return x / 16, torch.where(wrong, torch.randint(0, 10, y.shape, generator=g), y)

    def model(self):
        return relu_network(64, 128, 64, 10)


class Signals(Task):
    name, steps, batch, rates = "cnn mnist1d", 600, 100, (0.32, 0.032)
    losses = (0.183, 0.051)

    def data(self):
        from mnist1d.data import get_dataset_args, make_dataset

        found = make_dataset(get_dataset_args())
        return torch.tensor(found["x"]).float()[:, None], torch.tensor(found["y"]).long()

    def model(self):
        def convolution(channels, width, padding):
            return nn.Conv1d(channels, 24, width, stride=2, padding=padding)

        parts = [convolution(1, 5, 2), nn.ReLU(), convolution(24, 3, 1), nn.ReLU(), convolution(24, 3, 1), nn.ReLU()]
        return nn.Sequential(*parts, nn.Flatten(), nn.Linear(120, 10))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.n1, self.n2 = heads, nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(self.n1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, d)
        x = x + self.out(y)
        return x + self.mlp(self.n2(x))


class Transformer(nn.Module):
    def __init__(self, letters, width=48, length=48):
        super().__init__()
        self.embed, self.place = nn.Embedding(letters, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(Block(width, 2), Block(width, 2))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, letters)

    def forward(self, x):
        return self.out(self.norm(self.blocks(self.embed(x) + self.place.weight[: x.shape[1]])))


class Characters(Task):
    name, steps, batch, rates, length = "char transformer", 400, 8, (0.32, 0.01), 48
    losses = (2.52, 2.39)

    def data(self):
        import pydoc_data.topics as found

        text = "\n".join(found.topics[key] for key in sorted(found.topics))
        letters = {c: i for i, c in enumerate(sorted(set(text), key=lambda c: (-text.count(c), c)))}
        codes = torch.tensor([min(letters[c] + 1, 96) % 96 for c in text])
        self.text = codes[: int(0.9 * len(codes))]
        at = torch.randint(0, len(self.text) - 49, (200,), generator=torch.Generator().manual_seed(1))
        windows = torch.stack([self.text[i : i + 49] for i in at])
        return windows[:, :-1], windows[:, 1:]

    def batches(self, seed):
        g, reach = torch.Generator().manual_seed(1000 + seed), torch.arange(self.length + 1)
        while True:
            at = torch.randint(0, len(self.text) - self.length - 1, (self.batch, 1), generator=g)
            windows = self.text[at + reach]
            yield windows[:, :-1], windows[:, 1:]

    def loss(self, model, x, y):
        return F.cross_entropy(model(x).flatten(0, 1), y.flatten())

    def model(self):
        return Transformer(96)


class Adder(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.rnn, self.out = nn.LSTM(2, width, batch_first=True), nn.Linear(width, 1)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])[:, 0]


class Adding(Task):
    name, steps, batch, rates, classification = "lstm adding", 700, 50, (0.32, 0.1), False
    losses = (0.149, 0.0007)

    def data(self):
        g, n, t = torch.Generator().manual_seed(3), 5000, 20
        value, mark = torch.rand(n, t, generator=g), torch.zeros(n, t)
        a = torch.randint(0, t // 2, (n,), generator=g)
        b = torch.randint(t // 2, t, (n,), generator=g)
        row = torch.arange(n)
        mark[row, a], mark[row, b] = 1, 1
        return torch.stack([value, mark], -1), value[row, a] + value[row, b]

    def loss(self, model, x, y):
        return F.mse_loss(model(x), y)

    def model(self):
        return Adder()


class Wide(Digits):
    """For the cost only: 1.3 million parameters."""

    name, steps, batch, rates = "mlp 1.3M", 200, 128, (0.1, 1e-3)

    def model(self):
        return relu_network(64, 1024, 1024, 128, 10)


TASKS = (Logistic, Cancer, Digits, Signals, Characters, Adding)


def built(kinds):
    for kind in kinds:
        try:
            yield kind()
        except ImportError as error:
            print(f"{kind.name}: left out, needs {error.name}")


def optimizer_of(family, model, task, multiple):
    """The optimizer, its scheduler or None."""
    steps, warmup = task.steps, task.steps // 10

    def cosine(start):
        def rate(k):
            done = (k - start) / max(1, steps - start)
            return (k + 1) / start if k < start else 0.5 * (1 + math.cos(math.pi * done))

        return rate

    if family == "SGD":
        optimizer = torch.optim.SGD(model.parameters(), lr=multiple * task.rates[0], momentum=0.9)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, cosine(0))
    if family == "AdamW":
        optimizer = torch.optim.AdamW(model.parameters(), lr=multiple * task.rates[1], weight_decay=0.0)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, cosine(warmup))
    import schedulefree

    optimizer = schedulefree.AdamWScheduleFree(model.parameters(), lr=multiple * task.rates[1], warmup_steps=warmup)
    optimizer.train()
    return optimizer, None


def run(task, family, multiple, seed, guarded):
    """The final loss (nan if it diverged), the model and the guard."""
    torch.manual_seed(seed)
    model = task.model()
    optimizer, scheduler = optimizer_of(family, model, task, multiple)
    guard = Guard(model, optimizer) if guarded else None
    batches = task.batches(seed)
    for _ in range(task.steps):
        x, y = next(batches)
        if guard is not None:
            try:
                guard.step(lambda x=x, y=y: task.loss(model, x, y))
            except Diverged:
                break
        else:
            optimizer.zero_grad()
            task.loss(model, x, y).backward()
            optimizer.step()
        if scheduler is not None:
            scheduler.step()
    if hasattr(optimizer, "eval"):
        optimizer.eval()
    return task.final(model), model, guard


def cost(rounds=150):
    """Guarded and plain steps in turn on one model, so that both have the same memory and the same neighbours."""
    print("CPU time of one thread, medians of steps in turn: a plain step, what the guard adds to it; and a snapshot")
    for task in built((*TASKS, Wide)):
        for family in ("SGD", "AdamW"):
            torch.manual_seed(0)
            model = task.model()
            # a slow rate, since each round makes four updates
            optimizer, _ = optimizer_of(family, model, task, 0.3)
            guard = Guard(model, optimizer, every=10**9)
            batches = task.batches(0)
            rows = [paired(task, model, optimizer, guard, *next(batches)) for _ in range(rounds + 10)][10:]
            plain, added = (statistics.median(column) / 1e3 for column in zip(*rows, strict=True))
            share = 100 * statistics.median(more / bare for bare, more in rows)
            kept = Guard(model, optimizer, every=1)
            for _ in range(20):
                x, y = next(batches)
                kept.step(lambda x=x, y=y, model=model, task=task: task.loss(model, x, y))
            print(
                f"  {task.name:<17} {family:<6} plain {plain:7.0f} us, guard {added:+6.0f} us {share:+6.1f}%, snapshot "
                f"{1e6 * kept.cost.seconds / kept.cost.snapshots:6.0f} us; {len(guard.history)} events",
                flush=True,
            )


def paired(task, model, optimizer, guard, x, y):
    """Nanoseconds of a plain step, and of a guarded one beyond it: two of each, the one kind around the other."""

    def plain():
        optimizer.zero_grad()
        loss = task.loss(model, x, y)
        loss.backward()
        optimizer.step()
        loss.item()

    def guarded():
        guard.step(lambda: task.loss(model, x, y)).item()

    spent = dict.fromkeys((plain, guarded), 0)
    outer, inner = (plain, guarded) if guard.updates % 4 == 0 else (guarded, plain)
    for step in (outer, inner, inner, outer):
        began = time.thread_time_ns()
        step()
        spent[step] += time.thread_time_ns() - began
    return spent[plain] / 2, (spent[guarded] - spent[plain]) / 2


def calm(seeds):
    steps = events = different = 0
    for task in built(TASKS):
        for family in ("SGD", "AdamW"):
            for multiple in (0.01, 0.1, 1.0):
                for seed in range(seeds):
                    _, plain, _ = run(task, family, multiple, seed, False)
                    _, kept, guard = run(task, family, multiple, seed, True)
                    same = all(torch.equal(p, q) for p, q in zip(plain.parameters(), kept.parameters(), strict=True))
                    steps, events = steps + task.steps, events + len(guard.history)
                    different += not same and not guard.history
                    if guard.history or not same:
                        print(f"  {task.name} {family} {multiple:g} x, seed {seed}: same {same}\n{guard.explain()}")
    print(f"{events} interventions in {steps} steps; {different} runs without one differ from the plain run")


def fast(seeds, families, multiples):
    worse, well = {}, {}
    for multiple, task, family, seed in itertools.product(multiples, list(built(TASKS)), families, range(seeds)):
        try:
            plain = run(task, family, multiple, seed, False)[0]
        except ImportError:
            continue
        kept, _, guard = run(task, family, multiple, seed, True)
        counts = worse.setdefault((multiple, family), [0, 0, 0])
        counts[0] += not plain <= task.constant
        counts[1] += not kept <= task.constant
        counts[2] += 1
        print(
            f"  {multiple:g} x  {task.name:<17} {family:<13} seed {seed}  constant {task.constant:.4g}  "
            f"plain {plain:.4g}  guarded {kept:.4g}  events {len(guard.history)}, factor {guard.factor:.3g}",
            flush=True,
        )
        best = task.losses[0 if family == "SGD" else 1]
        regrets = [100 * (final - best) / (task.constant - best) for final in (plain, kept)]
        if regrets[0] <= 10:
            counts = well.setdefault((multiple, family), [0, 0, 0, 0, 0])
            events = sum(event.action in ("skip", "back") for event in guard.history)
            more = [1, events > 0, events, regrets[1] < regrets[0] - 1, regrets[1] > regrets[0] + 1]
            well[multiple, family] = [a + b for a, b in zip(counts, more, strict=True)]
    for (multiple, family), (plain, kept, total) in worse.items():
        print(f"{multiple:g} x {family}: worse than the best constant {plain} of {total} plain, {kept} guarded")
    for (multiple, family), (runs, touched, events, better, hurt) in well.items():
        print(
            f"{multiple:g} x {family}: {runs} plain runs end well; {events} interventions in {touched} of them; the "
            f"guarded run is better by over 1% regret in {better}, worse in {hurt}"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["cost", "calm", "fast"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--multiples", nargs="+", type=float, default=[100.0])
    parser.add_argument("--families", nargs="+", default=["SGD", "AdamW", "schedule-free"])
    chosen = parser.parse_args()
    if chosen.what == "cost":
        cost()
    elif chosen.what == "calm":
        calm(chosen.seeds)
    else:
        fast(chosen.seeds, chosen.families, chosen.multiples)


if __name__ == "__main__":
    main()
