"""Curvature of a model as an operator."""

from surefoot.training.curvature._empirical_fisher import empirical_fisher
from surefoot.training.curvature._fisher import fisher
from surefoot.training.curvature._hessian import hessian
from surefoot.training.curvature.gauss_newton import gauss_newton
from surefoot.training.curvature.operator import CurvatureOperator

__all__ = ["CurvatureOperator", "empirical_fisher", "fisher", "gauss_newton", "hessian"]
