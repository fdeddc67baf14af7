"""Prints what an image says of itself, as JSON (`bench.image.Image`): `describe.py cpu|gpu BASE`, in a build context.

`commit` and `dirty` come from the context's repository; without one they are null.
"""

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
PARTS = ("bench", "impl_keras", "impl_torch", "requirements", "docker", "pyproject.toml", "README.md", "LICENSE")
"""What of the repository is in the build context."""
LOCKS = {
    "cpu": ("torch-cpu-image.txt", "cpu.txt", "cluster.txt"),
    "gpu": ("gpu-tensorflow.txt", "gpu-jax.txt", "gpu-torch.txt", "cluster.txt"),
}


def git(*arguments: str) -> str | None:
    """What git answers in the build context; None where that is no repository."""
    command = ["git", "-c", f"safe.directory={SOURCE}", "-C", str(SOURCE), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


if __name__ == "__main__":
    device, base = sys.argv[1:]
    commit = git("rev-parse", "HEAD")
    changes = git("status", "--porcelain", "--", *PARTS)  # untracked ones too: they are in the image
    described = {
        "device": device,
        "version": tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["version"],
        "commit": commit,
        "dirty": None if changes is None else changes != "",
        "locks": {
            name: hashlib.sha256((SOURCE / "requirements" / name).read_bytes()).hexdigest() for name in LOCKS[device]
        },
        "base": base,
    }
    print(json.dumps(described, indent=1))
