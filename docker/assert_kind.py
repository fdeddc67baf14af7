"""Ends with 1 unless an environment's frameworks are of the kind its image claims: `assert_kind.py cpu|gpu NAME…`.

A build for CUDA would bloat the CPU image without a sound; one for the CPU would make a GPU image measure the CPU.
"""

import sys
from importlib import metadata


def tensorflow() -> str:
    """`gpu` when this TensorFlow was built with CUDA, else `cpu`."""
    import tensorflow

    return "gpu" if tensorflow.sysconfig.get_build_info()["is_cuda_build"] else "cpu"


def jax() -> str:
    """`gpu` when JAX's CUDA plugin and the program it stands on are installed, else `cpu`."""
    names = {distribution.metadata["Name"].lower() for distribution in metadata.distributions()}
    found = [name for name in names if name.startswith("jax-cuda")]
    return "gpu" if any(name.endswith("-plugin") for name in found) and any("pjrt" in name for name in found) else "cpu"


def torch() -> str:
    """`gpu` when this PyTorch was built with CUDA, else `cpu`."""
    import torch

    return "cpu" if torch.version.cuda is None else "gpu"


KINDS = {"tensorflow": tensorflow, "jax": jax, "torch": torch}

if __name__ == "__main__":
    claimed, *frameworks = sys.argv[1:]
    for framework in frameworks:
        found = KINDS[framework]()
        if found != claimed:
            raise SystemExit(f"{framework} in {sys.prefix} is a build for the {found}, the image claims {claimed}")
        print(f"{framework} in {sys.prefix}: a build for the {found}, as claimed")
