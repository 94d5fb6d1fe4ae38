"""The verb `doctor`: what is installed, what is missing and how to get it."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import surefoot
from surefoot.cli._output import Output, deliver

# Packages by the extra that brings them, by the names they are imported and installed by; the library alone first.
EXTRAS: dict[str, dict[str, str]] = {
    "": {"numpy": "numpy", "scipy": "scipy", "array_api_compat": "array-api-compat"},
    "cli": {"typer": "typer", "rich": "rich"},
    "report": {"jinja2": "jinja2", "matplotlib": "matplotlib"},
    "training": {"torch": "torch"},
    "data": {"sklearn": "scikit-learn", "skimage": "scikit-image"},
    "workers": {"joblib": "joblib"},
    "certify": {"PEPit": "PEPit"},
    "transformers": {"torch": "torch", "transformers": "transformers", "accelerate": "accelerate"},
    "lightning": {"torch": "torch", "lightning": "lightning"},
    "sklearn": {"sklearn": "scikit-learn"},
    "jax": {"jax": "jax"},
    "imaging": {"pylops": "pylops", "pyproximal": "pyproximal"},
}


def doctor(out: Output) -> None:
    """Say what is installed, what is missing and how to get it, with threads and device.

    Exit code 0: done.
    """
    packages = {
        (extra, name): _version(module, name) for extra, names in EXTRAS.items() for module, name in names.items()
    }
    deliver([Health(packages, _device() if packages["training", "torch"] else "no PyTorch")], out)


@dataclass(frozen=True, slots=True)
class Health:
    """Versions by (extra, package), empty where one is missing, and what PyTorch would run on."""

    packages: dict[tuple[str, str], str]
    device: str

    def __str__(self) -> str:
        lines = [f"surefoot {surefoot.__version__}, Python {platform.python_version()}, {platform.system()}"]
        lines.append(f"  {os.cpu_count()} cores, OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'not set')}")
        lines += [f"  {self.device}", ""]
        lines += [
            f"  {name:<17} {installed or 'missing':<12} {self._get(extra, installed)}".rstrip()
            for extra, name, installed in self._rows
        ]
        return "\n".join(lines)

    def rows(self) -> list[tuple[str, str, str]]:
        """Extra, package and version, the heading first."""
        return [("extra", "package", "version"), *self._rows]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": "doctor",
            "surefoot": surefoot.__version__,
            "python": platform.python_version(),
            "system": platform.system(),
            "cores": os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "device": self.device,
            "packages": [{"extra": e, "package": p, "version": v or None} for e, p, v in self._rows],
        }

    @property
    def _rows(self) -> list[tuple[str, str, str]]:
        return [(extra, name, installed) for (extra, name), installed in self.packages.items()]

    @staticmethod
    def _get(extra: str, installed: str) -> str:
        if installed or not extra:
            return f"extra {extra}" if extra else ""
        return f"pip install '.[{extra}]' in a checkout of Surefoot"


def _version(module: str, name: str) -> str:
    """Version of an installed package; empty without one. Nothing is imported: torch would take seconds."""
    if find_spec(module) is None:
        return ""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _device() -> str:
    """What PyTorch would run on."""
    # only where PyTorch is installed: it is imported here
    from surefoot.training.tasks.measures import device_in_words

    return device_in_words()
