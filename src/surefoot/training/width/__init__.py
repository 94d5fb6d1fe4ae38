"""Predictions for wide networks."""

from surefoot.training.width._predict import predict_network

__all__ = ["predict_network"]
