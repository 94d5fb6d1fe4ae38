"""What loggers write, by the form that each documents: which columns are read from it, and at which steps."""

import gzip
import json
import math

import pytest

from surefoot.errors import InvalidInput, InvalidType, UnknownTarget
from surefoot.logs import read_curves, read_log

MEGATRON = (
    " [2024-01-01 00:00:00] iteration      100/  500000 | consumed samples:        51200 | elapsed time per iteration "
    "(ms): "
    "1203.1 | learning rate: 1.5E-04 | global batch size:   512 | lm loss: 6.812E+00 | loss scale: 65536.0 | grad "
    "norm: 1.234 "
    "| number of skipped iterations:   0 | number of nan iterations:   0 |\n"
)
FAIRSEQ = (
    "2021-01-01 00:00:00 | INFO | train_inner | epoch 001:    100 / 2500 loss=14.7, nll_loss=14.5, ppl=23, wps=100, "
    "ups=1, "
    "wpb=100, bsz=10, num_updates=100, lr=1.25e-05, gnorm=3.2, loss_scale=128, train_wall=10, wall=20\n"
)
MMENGINE = (
    "2024/01/01 00:00:00 - mmengine - INFO - Epoch(train)  [{epoch}][  50/7330]  lr: 1.9e-03  eta: 1 day, 0:10:00  "
    "time: 0.5 "
    " loss: 1.23  grad_norm: 3.4\n"
)
# Name of the file, its text, and what is read: role to (steps, values), or the unit.
FORMS = {
    "keras with semicolons": (
        "log.csv",
        "epoch;accuracy;loss;lr;val_loss\n0;0,5;1,25;0,001;1,5\n1;0,6;1,0;0,001;1,25\n",
        {"loss": ([0, 1], [1.25, 1.0]), "validation": ([0, 1], [1.5, 1.25]), "rate": ([0, 1], [1e-3] * 2)},
    ),
    "pandas with its index": (
        "log.csv",
        ",step,loss\n0,5,2.5\n1,10,2.25\n",
        {"unit": "step", "loss": ([5, 10], [2.5, 2.25])},
    ),
    "yolo": (
        "results.csv",
        "                  epoch,      train/box_loss,  val/box_loss,  lr/pg0\n       0,   0.1,  0.2,  0.01\n       "
        "1,   0.09,  0.2,  0.01\n",
        {"unit": "epoch", "loss": ([0, 1], [0.1, 0.09]), "rate": ([0, 1], [0.01, 0.01])},
    ),
    "a scalar downloaded from TensorBoard": (
        "run-exp-tag-train_loss.csv",
        "Wall time,Step,Value\n1.6e9,0,2.5\n1.6e9,10,2.4\n",
        {"loss": ([0, 10], [2.5, 2.4])},
    ),
    "numpy.savetxt": ("log.txt", "# step loss lr\n0 1.0 0.1\n1 0.9 0.1\n", {"loss": ([0, 1], [1.0, 0.9])}),
    "torch's tensors in a table": (
        "log.csv",
        "step,loss\n0,\"tensor(2.5, device='cuda:0')\"\n1,tensor(nan)\n",
        {"loss": ([0, 1], [2.5, math.nan])},
    ),
    "a header twice": ("log.csv", "step,loss\n0,1\n1,2\nstep,loss\n1,2\n2,3\n", {"loss": ([0, 1, 1, 2], [1, 2, 2, 3])}),
    "utf-16 of a Windows shell": ("log.csv", "step,loss\n0,1\n1,2\n".encode("utf-16"), {"loss": ([0, 1], [1, 2])}),
    "comments": ("log.csv", "# run 7\n#\nstep,loss\n0,1\n# resumed\n1,2\n", {"loss": ([0, 1], [1, 2])}),
    "gzip": ("log.jsonl.gz", gzip.compress(b'{"step": 1, "loss": 2.0, "lr": [1e-3, 1e-4]}\n'), {"loss": ([1], [2.0])}),
    "columns": ("log.json", '{"loss": [1, 2], "lr": [0.1, 0.1], "step": [0, 1]}', {"loss": ([0, 1], [1, 2])}),
    "pandas' to_json": ("log.json", '{"step": {"0": 3, "1": 4}, "loss": {"0": 1, "1": 2}}', {"loss": ([3, 4], [1, 2])}),
    "nested records": ("log.jsonl", '{"step": 3, "train": {"loss": 1.5, "lr": 0.1}}\n', {"loss": ([3], [1.5])}),
    "fairseq's strings": (
        "log.jsonl",
        '{"epoch": 1, "update": 0.04, "loss": "14.7", "lr": "1e-05", "gnorm": "3.2", "num_updates": "100"}\n',
        {"loss": ([100], [14.7]), "norm": ([100], [3.2]), "rate": ([100], [1e-5])},
    ),
    "detectron2": (
        "metrics.json",
        '{"iteration": 19, "total_loss": 2}\n{"iteration": 39, "total_loss": 1}\n',
        {"loss": ([19, 39], [2, 1])},
    ),
    "nanoGPT": (
        "train.out",
        "step 0: train loss 10.98, val loss 10.99\niter 0: loss 10.5, time 5000.12ms, mfu -100.00%\niter 10: loss "
        "9.5, time 1ms\n",
        {"unit": "step", "loss": ([0, 10], [10.5, 9.5]), "validation": ([0], [10.99])},
    ),
    "llm.c": (
        "train.log",
        "step    1/19560 | loss 11.0 (+nanz)| norm 15.5 (+nanz)| lr 8.5e-07 | 500 ms\n",
        {"loss": ([1], [11.0]), "norm": ([1], [15.5]), "rate": ([1], [8.5e-7])},
    ),
    "llm.c's main.log": (
        "main.log",
        "s:0 tel:11.0\ns:1 trl:10.5 lr:0.0001 norm:2\n",
        {"loss": ([1], [10.5]), "validation": ([0], [11.0])},
    ),
    "build-nanogpt": ("log.txt", "0 val 10.95\n0 train 10.5\n1 train 10.25\n", {"loss": ([0, 1], [10.5, 10.25])}),
    "Megatron": (
        "slurm.out",
        MEGATRON,
        {"loss": ([100], [6.812]), "norm": ([100], [1.234]), "rate": ([100], [1.5e-4]), "scale": ([100], [65536.0])},
    ),
    "fairseq": (
        "train.log",
        FAIRSEQ,
        {"loss": ([100], [14.7]), "norm": ([100], [3.2]), "rate": ([100], [1.25e-5]), "scale": ([100], [128.0])},
    ),
    "mmengine": (
        "20240101.log",
        MMENGINE.format(epoch=1) + MMENGINE.format(epoch=2),
        {"loss": ([50, 7380], [1.23, 1.23]), "norm": ([50, 7380], [3.4, 3.4]), "rate": ([50, 7380], [1.9e-3, 1.9e-3])},
    ),
    "timm": (
        "train.log",
        "Train: 0 [  50/1251 (  4%)]  Loss: 6.94 (6.93)  Time: 0.4s  LR: 1.000e-06\nTrain: 1 [  50/1251 (  4%)]  "
        "Loss: 6.5 (6.53)  LR: 1e-3\n",
        {"loss": ([50, 1301], [6.94, 6.5]), "rate": ([50, 1301], [1e-6, 1e-3])},
    ),
    "the imagenet example": (
        "train.log",
        "Epoch: [0][  10/5005]\tTime  0.3 ( 0.5)\tLoss 7.01e+00 (7.1e+00)\tAcc@1   0.00\nEpoch: [1][  10/5005]\tLoss "
        "6.0e+00\n",
        {"loss": ([10, 5015], [7.01, 6.0])},
    ),
    "DeepSpeed": (
        "train.log",
        "[2023-01-01] [INFO] [logging.py:96:log_dist] [Rank 0] step=10, skipped=0, lr=[9.65e-06, 9.65e-06], "
        "mom=[(0.9, 0.95)]\n"
        "[deepspeed] OVERFLOW! Rank 0 Skipping step. Attempted loss scale: 65536, reducing to 32768\n",
        {"rate": ([10], [9.65e-6]), "scale": ([10], [65536.0])},
    ),
    "Keras' console": (
        "train.log",
        "Epoch 1/10\n313/313 - 1s - 3ms/step - accuracy: 0.9 - loss: 0.3 - val_loss: 0.4\nEpoch 2/10\n313/313 - 1s - "
        "loss: 0.2 - val_loss: 0.4\n",
        {"unit": "epoch", "loss": ([1, 2], [0.3, 0.2]), "validation": ([1, 2], [0.4, 0.4])},
    ),
    "OLMo": (
        "train.log",
        "[step=10/739328]\n    train/CrossEntropyLoss=11.1\n    optim/total_grad_norm=2.3\n    "
        "optim/learning_rate_group0=1e-5\n",
        {"loss": ([10], [11.1]), "norm": ([10], [2.3]), "rate": ([10], [1e-5])},
    ),
    "Composer": (
        "train.log",
        "[batch=1/100]:\n\t Train time/batch: 0\n\t Train LearningRate-DecoupledAdamW/group0: 0.0001\n\t Train "
        "loss/train/total: 10.3\n",
        {"loss": ([1], [10.3]), "rate": ([1], [1e-4])},
    ),
    "torchtitan, in colour": (
        "train.log",
        "[titan] \x1b[31mstep: 10  \x1b[32mloss:  7.125  \x1b[33mgrad_norm:  1.25  \x1b[39mmemory: 10GiB\x1b[0m\n",
        {"loss": ([10], [7.125]), "norm": ([10], [1.25])},
    ),
    "transformers' console": (
        "train.log",
        "  1%|#         | 10/1000 [00:10<10:00,  "
        "1.0it/s]\r{'loss': 2.5, 'grad_norm': 1.5, 'learning_rate': 5e-05, 'epoch': 0.1}\n"
        "  2%|#         | 20/1000 [00:10<10:00,  "
        "1.0it/s]\r{'loss': '2.25', 'grad_norm': 'nan', 'learning_rate': '4e-05', 'epoch': '0.2'}\n",
        {"loss": ([10, 20], [2.5, 2.25]), "norm": ([10, 20], [1.5, math.nan]), "rate": ([10, 20], [5e-5, 4e-5])},
    ),
    "transformers' console without bars": (
        "train.txt",
        "{'loss': 2.5, 'learning_rate': 5e-05, 'epoch': 0.1}\n{'loss': 2.25, 'learning_rate': 4e-05, 'epoch': 0.2}\n",
        {"unit": "epoch", "loss": ([0.1, 0.2], [2.5, 2.25])},
    ),
    "names with nothing but a blank behind them": (
        "train.log",
        "11:00:07,123 INFO step 10/1200 | train_loss 2.5 | learning_rate 1e-4 | grad_norm 1.25 | 812 tok/s\n",
        {"loss": ([10], [2.5]), "rate": ([10], [1e-4]), "norm": ([10], [1.25])},
    ),
    "modded-nanogpt": ("train.txt", "step:10/1000 train_loss:4.5000 train_time:100ms\n", {"loss": ([10], [4.5])}),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_read(form, tmp_path):
    name, text, expected = FORMS[form]
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    curves = read_curves(tmp_path / name)
    for role, wanted in expected.items():
        found = getattr(curves, role)
        if role == "unit":
            assert found == wanted
        else:
            assert found.steps.tolist() == wanted[0], role
            assert found.values.tolist() == pytest.approx(wanted[1], nan_ok=True), role


def test_frames_of_pandas(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"_step": [0, 1, 2], "loss": [1.0, math.nan, math.nan], "lr": [0.1, 0.1, 0.1]})
    assert read_curves(frame).loss.values.tolist() == pytest.approx([1.0, math.nan, math.nan], nan_ok=True)
    # rows of training and of validation: an empty cell is no NaN
    frame = pd.DataFrame({"step": [0, 0, 1, 1], "loss": [1.0, None, 2.0, None], "val_loss": [None, 3.0, None, 4.0]})
    curves = read_curves(frame)
    assert (curves.loss.values.tolist(), curves.validation.values.tolist()) == ([1.0, 2.0], [3.0, 4.0])


def test_what_holds_a_log_is_looked_into():
    class Holder:
        pass

    trainer, state = Holder(), Holder()
    trainer.state, state.log_history = state, [{"step": 5, "loss": 2.0}]
    assert read_curves(trainer).loss.steps.tolist() == [5]
    keras = Holder()
    keras.history = {"loss": [1.0, 2.0], "val_loss": [1.0, 1.0]}
    assert read_curves(keras).loss.values.tolist() == [1.0, 2.0]


def test_several_files_are_one_run(tmp_path):
    for name, first in (("a.csv", 0), ("b.csv", 2)):
        (tmp_path / name).write_text("step,loss\n" + "\n".join(f"{k},{k}" for k in (first, first + 1)))
    found = read_curves([tmp_path / "a.csv", str(tmp_path / "b.csv")])
    assert found.loss.steps.tolist() == [0, 1, 2, 3]
    assert found.name == "a.csv + b.csv"


def test_a_folder_of_several_runs_names_them(tmp_path):
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        (tmp_path / run / "metrics.csv").write_text("step,loss\n0,1\n")
    with pytest.raises(InvalidInput, match="holds 2 runs: first, second; give one of them"):
        read_log(tmp_path)
    assert len(read_log(tmp_path / "first").rows) == 1


def test_the_last_checkpoint_holds_the_history(tmp_path):
    for step in (500, 1000):
        (tmp_path / f"checkpoint-{step}").mkdir()
        history = {"log_history": [{"step": k, "loss": 1.0} for k in range(0, step, 100)]}
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(history))
    found = read_log(tmp_path)
    assert len(found.rows) == 10
    assert any("checkpoint-1000" in note for note in found.notes)


def test_further_columns_are_told_and_one_may_be_named(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,loss,aux_loss,lr-AdamW/pg1,lr-AdamW/pg2\n0,1,5,0.1,0.2\n")
    found = read_curves(path)
    assert (found.loss.column, found.rate.column) == ("loss", "lr-AdamW/pg1")
    assert found.others["rate"] == ("lr-AdamW/pg2",)
    assert read_curves(path, {"rate": "lr-AdamW/pg2"}).rate.values.tolist() == [0.2]
    with pytest.raises(InvalidInput, match="no column 'x'; there are step, loss"):
        read_curves(path, {"loss": "x"})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("log.wandb", b"x", "cannot read .wandb"),
        ("log.txt", b"nothing here\nat all\n", "no line has a name with a number behind it"),
        ("log.csv", b"\0\0\0", "NUL bytes"),
        ("log.json", b"[1, 2]", "expected a list of records"),
        ("log.csv", b"step,loss\nx,1\n", "row 0: the step must be a number; got 'x'"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=says):
        read_curves(tmp_path / name)


def test_what_is_not_there_or_no_log():
    with pytest.raises(UnknownTarget, match="no such file"):
        read_log("/no/such/log.csv")
    with pytest.raises(InvalidType, match="got int"):
        read_log(3)
