"""What is installed, which devices there are, and which physics backends work here."""

import importlib.metadata
import importlib.util
import platform

import jax


def report() -> dict[str, dict[str, str]]:
    """Tables of name -> finding."""
    packages = ["metarl-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "mujoco", "mujoco-mjx", "warp-lang"]
    packages += ["gymnasium", "metaworld", "brax", "playground", "gymnax", "numpy"]
    versions = {"python": platform.python_version()} | {name: _version(name) for name in packages}
    devices = {f"{d.platform}:{d.id}": d.device_kind for d in jax.devices()}
    return {
        "Versions": versions,
        "Devices": devices,
        "Physics backends": {name: _try_backend(name) for name in ("mujoco", "mjx", "warp")},
        "Meta-World": {"metaworld": _metaworld()},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _metaworld() -> str:
    return "found" if importlib.util.find_spec("metaworld") else "not found: pip install metaworld"


def _try_backend(name: str) -> str:
    """Steps one falling ball; any failure is the finding."""
    import jax.numpy as jnp
    import mujoco

    from ..envs.physics import make_physics, resolve_backend

    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><freejoint/><geom size='1'/></body></worldbody></mujoco>"
    )
    try:
        physics = make_physics(model, substeps=1, backend=name)
        state = physics.reset(jnp.asarray(model.qpos0, float), jnp.zeros(model.nv), {})
        height = float(physics.step(state, jnp.zeros(0), {}).qpos[2])
    except Exception as error:  # whatever went wrong is what the user wants to read
        return f"does not work: {str(error).strip().splitlines()[-1]}"
    works = "works" if height < 0 else f"is wrong: a ball in free fall is at {height}"
    return works + (", chosen by auto" if resolve_backend("auto") == name else "")
