"""What this runs on."""

import importlib.util
import subprocess

import jax

from .. import report


def platform() -> str:
    return jax.default_backend()


def machine() -> str:
    """Processor, devices, driver, JAX and Warp."""
    return f"{report.machine()}; driver {_driver()}; warp {_warp()}"


def memory_mib() -> float | None:
    """Memory of the device in use, by all, where it says so."""
    stats = jax.local_devices()[0].memory_stats()
    if jax.default_backend() != "gpu" or importlib.util.find_spec("warp") is None:
        return stats["bytes_in_use"] / 2**20 if stats else None
    import warp

    device = warp.get_cuda_device()
    return (device.total_memory - device.free_memory) / 2**20


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "none"


def _warp() -> str:
    try:
        import warp

        return warp.config.version
    except ImportError:
        return "not installed"
