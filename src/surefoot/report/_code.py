"""Recommendations as a line of Python to paste."""

# The methods that targets of this house are tried with, as a line to paste. One of a target's own has none.
LINES = {
    "SGD": "optimizer = torch.optim.SGD(model.parameters(), lr={step:.3g})",
    "SGD momentum 0.9": "optimizer = torch.optim.SGD(model.parameters(), lr={step:.3g}, momentum=0.9)",
    "SGD Nesterov 0.9": "optimizer = torch.optim.SGD(model.parameters(), lr={step:.3g}, momentum=0.9, nesterov=True)",
    "AdamW": "optimizer = torch.optim.AdamW(model.parameters(), lr={step:.3g})",
    "gradient descent": "run = sf.descend(problem, rule=sf.rules.Constant(step={step:.3g}))",
    "heavy ball 0.9": "run = sf.descend(problem, rule=sf.rules.Constant(step={step:.3g}), "
    "method=sf.methods.HeavyBall(0.9))",
    "Nesterov 0.9": "run = sf.descend(problem, rule=sf.rules.Constant(step={step:.3g}), "
    "method=sf.methods.Nesterov(0.9))",
}


def line_of(method: str, step: float) -> str:
    """The line that takes a step with a method; empty for a method that is not known by this name."""
    return LINES.get(method, "").format(step=step)
