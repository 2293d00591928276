"""Products that stay float32's, whatever is faster for the backbone: heads, G, and attention that is read."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def rounds_products() -> bool:
    """Tells whether this process's products of float32 matrices may be rounded to TF32."""
    return torch.get_float32_matmul_precision() != "highest"


@contextmanager
def exact_products() -> Iterator[None]:
    """Inside, float32 matrices are multiplied in float32. What autograd makes of that later is not."""
    before = torch.get_float32_matmul_precision()
    if before == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
