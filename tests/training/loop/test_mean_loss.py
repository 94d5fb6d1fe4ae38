"""The mean loss over data: dropout off, all else as in training."""

import torch
from torch import nn

from surefoot.training import supervised
from surefoot.training.loop.run import mean_loss
from surefoot.training.model.batches import gather


def test_a_mean_loss_is_without_dropout_and_leaves_the_model_in_training():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    x = torch.randn(32, 3)
    data, loss = (x, x.sum(1, keepdim=True)), supervised(nn.functional.mse_loss)
    value = mean_loss(model, loss, gather(data, loss))
    assert all(module.training for module in model.modules())
    model.eval()
    assert value == loss(model, data).item()
