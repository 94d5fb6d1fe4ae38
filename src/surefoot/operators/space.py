"""The array library, the device and the precision of an operator's vectors."""

import math
from dataclasses import dataclass
from typing import Any

import array_api_compat as compat
import numpy as np
from numpy.typing import NDArray

from surefoot.errors import InvalidType

__all__ = ["Space"]

# Up to this size, and down to its inverse, squares and sums of many neither overflow nor underflow in float32.
PLAIN = 1e15
# Length of the partial sums of a dot product that are taken in the vectors' own precision; float64 adds them up.
RUN = 256

Array = Any  # an array of any library of the Python array API standard


@dataclass(frozen=True, slots=True)
class Space:
    """The library, device and dtype of an operator's vectors, and the few operations that depend on them.

    Only `host` moves a vector to the host; `norm` and `inner` return one number.

    Parameters
    ----------
    xp : module
        The array namespace, as array-api-compat gives it.
    device : object
        As the library names it; "cpu" for NumPy.
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
        """The space of an array: its library, its device, and its dtype if that is precise enough.

        NumPy arrays are always computed with in double precision. Elsewhere float32 and wider keep their dtype;
        integers and 16-bit floats become float32, since 8 bits of mantissa cannot hold a Lanczos basis.

        Raises
        ------
        InvalidType
            If it is not an array of a library that follows the array API standard.
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
        """The smallest positive number of full precision."""
        return float(self.xp.finfo(self.dtype).smallest_normal)

    @property
    def itemsize(self) -> int:
        """Bytes of one entry."""
        return int(self.xp.finfo(self.dtype).bits) // 8 * (2 if self.complex else 1)

    @property
    def writable(self) -> bool:
        """Whether a row of an array can be set in place; JAX arrays are immutable."""
        return not compat.is_jax_namespace(self.xp)

    @property
    def whole(self) -> bool:
        """Whether this process holds all entries of a vector; False if vectors are sharded over processes."""
        return True

    def entries(self, size: int) -> int:
        """Number of entries that this process holds of a vector of `size` entries."""
        return size

    def holds(self, x: Any) -> bool:
        """Whether x is an array of this library."""
        return bool(compat.is_array_api_obj(x)) and compat.array_namespace(x) is self.xp

    def asarray(self, x: Any) -> Array:
        """The values of x as an array of this space; no copy where it is one."""
        if self.holds(x):
            x = x.detach() if hasattr(x, "detach") else x  # torch: outside any autograd graph
            if x.dtype != self.dtype:
                x = self.xp.astype(x, self.dtype, copy=False)
            return x if compat.device(x) == self.device else compat.to_device(x, self.device)
        # a copy, since the result must not alias an array of the caller's, which may be read-only
        host = np.array(self.host(x), dtype=np.complex128 if self.complex else np.float64)
        return self.xp.asarray(host, dtype=self.dtype, device=self.device)

    def host(self, x: Any) -> NDArray[Any]:
        """The values of x as a NumPy array in double precision, copied from its device."""
        array: Any = x
        if compat.is_array_api_obj(x) and not compat.is_numpy_array(x):
            array = array.detach() if hasattr(array, "detach") else array
            array = array if compat.is_jax_array(array) else compat.to_device(array, "cpu")
        values = np.asarray(array)
        return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64, copy=False)

    def normal(self, size: int, generator: np.random.Generator) -> Array:
        """Independent standard normal entries, drawn on the device; the same generator gives the same numbers."""
        if self.complex:
            # Python adds from the left: the real parts are drawn first
            return self._normal(size, generator) + 1j * self._normal(size, generator)
        return self._normal(size, generator)

    def _normal(self, size: int, generator: np.random.Generator) -> Array:
        xp = self.xp
        if self.on_numpy:
            return generator.standard_normal(size)
        if compat.is_torch_namespace(xp):
            # a generator of its own, so that torch's global random state is left alone
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
        """The dtype in which sums are accumulated: double precision, if JAX has it enabled."""
        xp = self.xp
        if compat.is_jax_namespace(xp):
            return xp.asarray(0j if self.complex else 0.0).dtype
        return xp.complex128 if self.complex else xp.float64

    def plus(self, y: Array, factor: float, x: Array) -> Array:
        """Y + factor x, in place where possible: a large vector takes longer to allocate than to compute."""
        if compat.is_torch_namespace(self.xp):
            return y.add_(x, alpha=factor)
        y += factor * x
        return y

    def finite(self, x: Array) -> bool:
        """Whether all entries are finite."""
        xp = self.xp
        # the extremes of a real vector are not finite if an entry is not, and need no array of flags
        if self.on_numpy or self.complex:
            return bool(xp.all(xp.isfinite(x)))
        return math.isfinite(self._largest(x))

    def _largest(self, x: Array) -> float:
        """The largest magnitude in a real vector, without a second array; NaN or infinite if an entry is."""
        xp = self.xp
        low, high = map(float, xp.aminmax(x) if compat.is_torch_namespace(xp) else (xp.min(x), xp.max(x)))
        return max(high, -low) if not math.isnan(low) else low

    def norm(self, x: Array) -> float:
        """The Euclidean norm, computed so that squares neither overflow nor underflow."""
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

        A float32 dot product of 10 million entries on a CPU is off by 2e-4 (MKL adds in a few running sums), far
        more rounding than a certified interval allows for. Runs of 256 entries are summed in the vectors' precision
        and the partial sums in double precision: the error is then 1e-9.
        """
        xp = self.xp
        if self.on_numpy:
            return np.vdot(x, y).item()
        if not self.complex and str(self.device) == "cpu":
            # a batch of short dot products, which writes no array of products
            cut = x.shape[0] // RUN * RUN
            runs = xp.matmul(xp.reshape(x[:cut], (-1, 1, RUN)), xp.reshape(y[:cut], (-1, RUN, 1)))
            return float(xp.sum(runs, dtype=self._wide)) + float(xp.sum(x[cut:] * y[cut:], dtype=self._wide))
        # on other devices a matmul may run in a lower precision (TF32), while sums are added pairwise
        total = xp.sum(xp.conj(x) * y if self.complex else x * y)
        return complex(total) if self.complex else float(total)
