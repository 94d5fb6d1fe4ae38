"""Rates from what the run has shown so far."""

from surefoot.rules.adaptive._adgd import AdGD
from surefoot.rules.adaptive._auto import Auto
from surefoot.rules.adaptive._barzilai_borwein import BarzilaiBorwein
from surefoot.rules.adaptive._confident import Confident
from surefoot.rules.adaptive._pi_controller import PI
from surefoot.rules.adaptive._polyak import Polyak

__all__ = ["PI", "AdGD", "Auto", "BarzilaiBorwein", "Confident", "Polyak"]
