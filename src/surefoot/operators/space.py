"""Where vectors live: the array library, the device and the precision that an operator computes in."""

import math
from dataclasses import dataclass
from typing import Any

import array_api_compat as compat
import numpy as np
from numpy.typing import NDArray

from surefoot.errors import InvalidType

__all__ = ["Space"]

# Entries whose squares neither over- nor underflow in single precision, nor do their sums.
PLAIN = 1e15
# Entries of a dot product that are summed in the vectors' own precision.
RUN = 256

Array = Any  # an array of any library of the Python array API standard


@dataclass(frozen=True, slots=True)
class Space:
    """The library, the device and the dtype of an operator's vectors, and the few operations that depend on them.

    Nothing here moves a vector to the host but `host`: `norm` and `inner` bring back one number.

    Parameters
    ----------
    xp : module
        The array namespace, as array-api-compat gives it.
    device : object
        As the library spells it; "cpu" for NumPy.
    dtype : object
        The library's own: float32, float64, complex64 or complex128.
    """

    xp: Any
    device: Any
    dtype: Any

    @classmethod
    def host_space(cls, *, is_complex: bool = False) -> "Space":
        """NumPy in double precision."""
        xp = compat.array_namespace(np.zeros(0))
        return cls(xp, "cpu", np.dtype(np.complex128 if is_complex else np.float64))

    @classmethod
    def of(cls, like: Any) -> "Space":
        """The space of an array: its library and device, and its dtype if vectors can be computed with in that.

        NumPy always computes in double precision. Elsewhere float32 and wider stay as they are; integers and 16-bit
        floats become float32: a Lanczos basis in 8 bits of mantissa is no basis.

        Raises
        ------
        InvalidType
            If it is no array of a library of the array API standard.
        """
        if not compat.is_array_api_obj(like):
            raise InvalidType(f"like must be an array (NumPy, torch, JAX, CuPy); got a {type(like).__name__}")
        array: Any = like
        xp: Any = compat.array_namespace(array)
        is_complex = bool(xp.isdtype(array.dtype, "complex floating"))
        if compat.is_numpy_namespace(xp):
            return cls.host_space(is_complex=is_complex)
        wide = xp.isdtype(array.dtype, ("real floating", "complex floating")) and xp.finfo(array.dtype).bits >= 32
        return cls(xp, compat.device(array), array.dtype if wide else (xp.complex64 if is_complex else xp.float32))

    @property
    def on_numpy(self) -> bool:
        """Whether vectors are NumPy arrays."""
        return compat.is_numpy_namespace(self.xp)

    @property
    def complex(self) -> bool:
        """Whether vectors are complex."""
        return bool(self.xp.isdtype(self.dtype, "complex floating"))

    @property
    def eps(self) -> float:
        """The relative rounding error of one operation."""
        return float(self.xp.finfo(self.dtype).eps)

    @property
    def tiny(self) -> float:
        """The smallest number without loss of precision."""
        return float(self.xp.finfo(self.dtype).smallest_normal)

    @property
    def itemsize(self) -> int:
        """Bytes of one entry."""
        return int(self.xp.finfo(self.dtype).bits) // 8 * (2 if self.complex else 1)

    @property
    def writable(self) -> bool:
        """Whether a row of an array can be set in place: JAX's cannot."""
        return not compat.is_jax_namespace(self.xp)

    @property
    def whole(self) -> bool:
        """Whether this process has all of a vector's entries: not so where vectors are sharded over several."""
        return True

    def entries(self, size: int) -> int:
        """How many entries this process has of a vector of so many."""
        return size

    def holds(self, x: Any) -> bool:
        """Whether x is an array of this library."""
        return bool(compat.is_array_api_obj(x)) and compat.array_namespace(x) is self.xp

    def asarray(self, x: Any) -> Array:
        """The values of x as an array of this space; no copy where it is one."""
        if self.holds(x):
            x = x.detach() if hasattr(x, "detach") else x  # torch: a constant, outside any graph
            if x.dtype != self.dtype:
                x = self.xp.astype(x, self.dtype, copy=False)
            return x if compat.device(x) == self.device else compat.to_device(x, self.device)
        # a copy in the final dtype: what is handed on must not alias an array of the caller's, which may be read-only
        host = np.array(self.host(x), dtype=np.complex128 if self.complex else np.float64)
        return self.xp.asarray(host, dtype=self.dtype, device=self.device)

    def host(self, x: Any) -> NDArray[Any]:
        """The values of x as a NumPy array in double precision: the one way from the device."""
        array: Any = x
        if compat.is_array_api_obj(x) and not compat.is_numpy_array(x):
            array = array.detach() if hasattr(array, "detach") else array
            array = array if compat.is_jax_array(array) else compat.to_device(array, "cpu")
        found = np.asarray(array)
        return found.astype(np.complex128 if found.dtype.kind == "c" else np.float64, copy=False)

    def normal(self, size: int, generator: np.random.Generator) -> Array:
        """Independent standard normal entries, drawn on the device; the same generator gives the same numbers."""
        if self.complex:
            real, imaginary = self._normal(size, generator), self._normal(size, generator)
            return real + 1j * imaginary
        return self._normal(size, generator)

    def _normal(self, size: int, generator: np.random.Generator) -> Array:
        xp = self.xp
        if self.on_numpy:
            return generator.standard_normal(size)
        if compat.is_torch_namespace(xp):
            source = xp.Generator(device=self.device)
            source.manual_seed(int(generator.integers(2**62)))
            return xp.randn(size, generator=source, dtype=self._real, device=self.device)
        if compat.is_cupy_namespace(xp):
            return xp.random.default_rng(int(generator.integers(2**62))).standard_normal(size, dtype=self._real)
        return xp.asarray(generator.standard_normal(size), dtype=self._real, device=self.device)

    @property
    def _real(self) -> Any:
        return self.xp.float64 if self.itemsize // (2 if self.complex else 1) == 8 else self.xp.float32

    @property
    def _wide(self) -> Any:
        """The dtype that sums are accumulated in: double, unless JAX was told to know none."""
        xp = self.xp
        if compat.is_jax_namespace(xp):
            return xp.asarray(0j if self.complex else 0.0).dtype
        return xp.complex128 if self.complex else xp.float64

    def plus(self, y: Array, factor: float, x: Array) -> Array:
        """Y + factor x, written into y where the library can: large vectors cost more to allocate than to compute."""
        if compat.is_torch_namespace(self.xp):
            return y.add_(x, alpha=factor)
        y += factor * x
        return y

    def finite(self, x: Array) -> bool:
        """Whether all entries are finite; one or two passes and no array of flags where the library allows it."""
        xp = self.xp
        if self.on_numpy or self.complex:
            return bool(xp.all(xp.isfinite(x)))
        return math.isfinite(self._largest(x))

    def _largest(self, x: Array) -> float:
        """The largest magnitude in a real vector, without a second array; not finite where an entry is not."""
        xp = self.xp
        low, high = map(float, xp.aminmax(x) if compat.is_torch_namespace(xp) else (xp.min(x), xp.max(x)))
        return max(high, -low) if not math.isnan(low) else low

    def norm(self, x: Array) -> float:
        """The Euclidean norm, without under- or overflow of the squares."""
        if self.on_numpy:
            largest = float(np.abs(x).max())
            return 0.0 if largest == 0.0 else largest * float(np.linalg.norm(x / largest))
        xp = self.xp
        largest = float(xp.max(xp.abs(x))) if self.complex else self._largest(x)
        if largest == 0.0 or not math.isfinite(largest):
            return largest
        if 1 / PLAIN < largest < PLAIN:
            return math.sqrt(abs(self.inner(x, x)))
        scaled = x / largest
        return largest * math.sqrt(abs(self.inner(scaled, scaled)))

    def inner(self, x: Array, y: Array) -> Any:
        """x^H y as a Python number.

        A float32 dot product of 10 million entries on a CPU is off by 2e-4 (MKL adds them in a few running sums), far
        more than the rounding that an interval allows for. Runs of 256 entries are summed in the vectors' precision,
        the rest in double: 1e-9.
        """
        xp = self.xp
        if self.on_numpy:
            return np.vdot(x, y).item()
        if not self.complex and str(self.device) == "cpu":
            # a batch of short dot products: no array of products is written
            cut = x.shape[0] // RUN * RUN
            runs = xp.matmul(xp.reshape(x[:cut], (-1, 1, RUN)), xp.reshape(y[:cut], (-1, RUN, 1)))
            return float(xp.sum(runs, dtype=self._wide)) + float(xp.sum(x[cut:] * y[cut:], dtype=self._wide))
        # elsewhere a matmul may be set to a lower precision (TF32); sums are made in trees
        found = xp.sum(xp.conj(x) * y if self.complex else x * y)
        return complex(found) if self.complex else float(found)
