"""numpy, imported at its first use, so that checks of the configuration do not import it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


class _Numpy:
    """Has the module's attributes."""

    def __getattr__(self, name: str) -> Any:
        import numpy

        return getattr(numpy, name)


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]
else:
    np, Array, Flags = _Numpy(), Any, Any

__all__ = ["Array", "Flags", "np"]
