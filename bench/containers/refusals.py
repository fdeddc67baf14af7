"""What the engine refuses to create or start, in words that name the option or the cure."""

from bench.containers.engine import Engine, explanation
from bench.containers.settings import Order
from bench.errors import BenchError, MachineError, UsageError


def not_created(order: Order, engine: Engine, error: Exception) -> BenchError:
    """Why there is no container."""
    said = explanation(error)
    if "is already in use" in said:
        return UsageError(
            f"--name {order.name}: a container of this name is there; name another, or remove it: "
            f"docker rm --force {order.name}"
        )
    if "bind source path does not exist" in said:
        return MachineError(
            f"the Docker engine at {engine.address} does not see {said.rpartition(': ')[2]} of this machine, and "
            "results have to be written here; use this machine's own engine (DOCKER_HOST)"
        )
    return UsageError(f"the Docker engine refuses this container: {said}")


def not_started(order: Order, error: Exception, *, gpu: bool) -> BenchError:
    """Why the container does not run."""
    said = explanation(error)
    core = said.rpartition("OCI runtime create failed: ")[2]
    if gpu and any(word in said.lower() for word in ("device driver", "nvidia", "cdi", "gpu")):
        return MachineError(
            f"--device gpu: the Docker engine cannot give a GPU to a container ({core}); install the NVIDIA driver and "
            "the NVIDIA Container Toolkit (nvidia-ctk runtime configure --runtime=docker) and restart the engine"
        )
    if "executable file not found" in said or "no such file or directory" in said:
        return UsageError(f"image {order.image}: is no image of bench ({core}); build one: bench image build")
    return MachineError(f"image {order.image}: the Docker engine cannot start a container: {core}")
