"""Surefoot where people train: one module for each library, imported only when asked for by name."""
