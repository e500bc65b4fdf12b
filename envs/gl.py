"""OpenGL without a window: finds the backend of MuJoCo's that works on this machine."""

import functools
import importlib
import os
import subprocess
import sys

from ..errors import ConfigError

BACKENDS = ("egl", "osmesa", "glfw")  # in the order in which they are tried; glfw needs a display

# What drawing needs first of all. It runs in a process of its own: PyOpenGL settles on one backend when it is imported, so
# that a process in which one has failed cannot try the next, and a broken driver may end the process that asks it.
_PROBE = """
import importlib, sys, mujoco
gl = importlib.import_module("mujoco." + sys.argv[1]).GLContext(64, 64)
gl.make_current()
context = mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100)
gl.free()
"""
_PROBE_SECONDS = 60


def open_context(asked: str, width: int, height: int):
    """A current OpenGL context (`free()` ends it) for images of `width` x `height` pixels.

    Args:
      asked: which backend, as in MuJoCo's MUJOCO_GL; the first of `BACKENDS` that works where empty.
      width: pixels.
      height: pixels.

    Raises:
      ConfigError: none works; says what to install.
    """
    tried = (asked.lower().strip(),) if asked else BACKENDS
    for name in filter(works, tried):
        try:
            context = importlib.import_module(f"mujoco.{name}").GLContext(width, height)
            context.make_current()
            return context
        except Exception:  # whatever the driver does, the next one may work
            continue
    raise ConfigError(
        f"no OpenGL to draw with (tried {', '.join(tried)}). On Debian: apt install libegl1 libgl1-mesa-dri (or libosmesa6), "
        "then leave MUJOCO_GL unset or set it to egl (or osmesa)."
    )


@functools.cache
def works(name: str) -> bool:
    """Whether a backend makes a context that MuJoCo can draw in."""
    surroundings = {key: value for key, value in os.environ.items() if key != "MUJOCO_GL"}
    command = [sys.executable, "-c", _PROBE, name]
    try:
        done = subprocess.run(command, env=surroundings, capture_output=True, timeout=_PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
