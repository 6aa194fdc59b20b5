# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ways to run PyTorch that are compared, from plain to tuned."""

from typing import NamedTuple


class Variant(NamedTuple):
    """What a PyTorch user may choose."""

    tuned_allocator: bool = True
    channels_last: bool = True
    fused_adam: bool = True
    compiled: bool = False
    frozen: bool = False  # compiled with the weights as constants
    bf16: bool = False
    modes: tuple = ("train", "encode")

    @property
    def environment(self):
        """Variables that have to be set before the process starts."""
        return {"GLIBC_TUNABLES": KEEP_MEMORY} if self.tuned_allocator else {}


# By default glibc returns large blocks to the system and faults them in again at every step.
# Keeping them, in large pages, is what PyTorch's tuning guide gets from other allocators.
KEEP_MEMORY = ":".join(
    [
        "glibc.malloc.hugetlb=1",
        "glibc.malloc.mmap_threshold=4000000000",
        "glibc.malloc.trim_threshold=4000000000",
    ]
)

VARIANTS = {
    # What one gets without choosing.
    "eager": Variant(tuned_allocator=False, channels_last=False, fused_adam=False),
    "allocator": Variant(channels_last=False, fused_adam=False),
    "channels_last": Variant(fused_adam=False),
    "fused_adam": Variant(modes=("train",)),
    "compile": Variant(compiled=True),
    "compile_frozen": Variant(compiled=True, frozen=True, modes=("encode",)),
    "bf16": Variant(bf16=True),
    "bf16_compile": Variant(compiled=True, bf16=True),
}


def for_mode(mode):
    return {name: variant for name, variant in VARIANTS.items() if mode in variant.modes}
