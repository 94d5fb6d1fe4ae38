"""Views of advice from numbers alone: a rate for another batch, a clip, a warm-up."""

from surefoot.report._numbers import number
from surefoot.report._page import Record, Section, view

# Where the length of a warm-up comes from, by its entry in the record.
SOURCES = {
    "limits": "From the limits measured along a run.",
    "second moment": "From the memory of Adam's second moment.",
    "none": "No limits and no beta2 were given.",
}


@view(
    title="Which rate for another batch?",
    trust="A rule that keeps the noise of a run alike, not a theorem: it holds where its reasons say, and a short run "
    "at the new batch tells.",
)
def batch_scaling(advice: Record) -> Section:
    """The rate at the other batch, and what else changes with it, as one line to paste."""
    changed = {"lr": f"{advice['rate']:.6g}"}
    if advice["momentum"] is not None:
        changed["momentum"] = f"{advice['momentum']:.6g}"
    if advice["betas"] is not None:
        changed["betas"] = f"({', '.join(f'{beta:.6g}' for beta in advice['betas'])})"
    settings = ", ".join(f"{name}={value}" for name, value in changed.items())
    facts = [
        ("rate now", f"{number(advice['lr'])} at batch {advice['batch']:g}"),
        ("by the square-root rule", number(advice["square_root"])),
        ("steps", number(advice["steps"])),
        ("warm-up", number(advice["warmup"])),
        ("eps", number(advice["eps"])),
        ("weight decay", "" if advice["weight_decay"] == 1 else f"x {number(advice['weight_decay'])}"),
    ]
    return Section(
        title=f"{advice['optimizer']}, batch {advice['batch']:g} to {advice['to']:g}",
        word=f"Take {number(advice['rate'])} at batch {advice['to']:g}",
        mood="good",
        lead=f"The {advice['rule']} rule, {number(advice['rate'] / advice['lr'])} times the rate.",
        code=f"for group in optimizer.param_groups: group.update({settings})",
        facts=[(name, value) for name, value in facts if value not in ("", "–")],
        findings=advice["reasons"],
    )


@view(
    title="Where should gradients be clipped?",
    trust="A percentile of what was logged is a choice, not a theorem: it leaves typical steps alone and holds bursts "
    "back. Where a run diverged, only the norms before that count.",
)
def clip(advice: Record) -> Section:
    own = advice["clip"]
    judged = [] if own is None else [(f"your cap of {number(own)}", f"would cut {advice['clip_cut']:.3g} of the steps")]
    return Section(
        title=f"{advice['steps']:,} gradient norms",
        word=f"Clip at {number(advice['value'])}",
        mood="good",
        lead=f"The {advice['percentile']:g}th percentile: it cuts {100 * advice['cut']:.3g}% of the steps.",
        code=f"torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm={advice['value']:.4g})",
        facts=[
            ("median", number(advice["median"])),
            ("largest", number(advice["largest"])),
            ("not finite", f"{advice['not_finite']:,}"),
            *judged,
        ],
        findings=advice["reasons"],
    )


@view(
    title="How long should the rate warm up?",
    trust="Limits measured along a run are linear claims of that run, and another warm-up meets another curvature. "
    "Adam's rule of thumb knows its own memory and nothing of the curvature.",
)
def warmup(advice: Record) -> Section:
    steps = advice["steps"]
    if steps is None:
        word, mood, code = "No warm-up length", "limit", ""
    elif steps == 1:
        word, mood, code = "No warm-up is needed", "good", ""
    else:
        word, mood = f"Warm up over {steps:,} steps", "good"
        code = (
            "scheduler = torch.optim.lr_scheduler.LinearLR("
            f"optimizer, start_factor=1 / {steps}, total_iters={steps - 1})"
        )
    return Section(
        title=f"Rate {number(advice['rate'])}",
        word=word,
        mood=mood,
        lead=SOURCES[advice["source"]],
        code=code,
        findings=advice["reasons"],
    )
