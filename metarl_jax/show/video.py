"""An episode as a film: whom to watch, and the file that it becomes."""

import contextlib
import importlib.util
import itertools
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from ..errors import ConfigError
from ..rollout import Act, ActionSample
from ..types import Array, EnvSpec, History, Key, MetaEnv, Task

_GIF_TICK = 0.01  # s; a picture of a GIF stays for a whole number of them, and two at least
_OWN_COLOURS = 48  # of a GIF's first picture; more make a film of 500 frames longer than 8 MB


class Scene(NamedTuple):
    """What to film."""

    env: MetaEnv
    task: Task
    make_act: Callable[[Key], tuple[Act, History]]  # a policy, and what it begins with
    key: Key  # of the policy's making and of the episode
    out: Path


def random_policy(spec: EnvSpec) -> Callable[[Array, Key], Array]:
    """Actions uniform within their bounds: obs, key -> `[action_dim]`."""
    low, high = jnp.array(spec.action_low), jnp.array(spec.action_high)
    return lambda obs, key: jax.random.uniform(key, low.shape, minval=low, maxval=high)


def without_memory(policy: Callable[[Array, Key], Array]) -> Act:
    """A policy of one observation, obs `[obs_dim]`, key -> action `[action_dim]`, as `rollout.record` calls it."""

    def act(obs: Array, history: History, key: Key) -> tuple[tuple, ActionSample]:
        action = policy(obs[0, 0], key)[None, None]
        return (), ActionSample(action, action, (), jnp.zeros((1, 1)))

    return act


def can_write_mp4() -> bool:
    """Whether the extra `video` is installed."""
    return importlib.util.find_spec("imageio_ffmpeg") is not None


def check_file(path: Path, size: tuple[int, int], overwrite: bool) -> None:
    """Raises ConfigError where `write` could not make the file of `size` (width, height), or would replace one."""
    if path.suffix not in (".mp4", ".gif"):
        raise ConfigError(f"--out {path} must end in .mp4 or .gif.")
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists: choose another --out, or replace it with --overwrite.")
    if path.suffix == ".gif":
        return
    if not can_write_mp4():
        raise ConfigError(".mp4 needs the extra 'video': pip install 'metarl-jax[video]' (or choose a .gif).")
    if any(side % 2 for side in size):
        raise ConfigError(f"an .mp4 needs an even --width and --height, not {size[0]} x {size[1]} (a .gif does not).")


def write(frames: Iterable[np.ndarray], path: Path, dt: float) -> None:
    """Writes frames `[height, width, 3]`, uint8, that are `dt` s apart, as a film in real time, whole or not at all.

    A GIF cannot show over 50 pictures per second: it leaves out every second frame, or more, where it must.

    Raises:
      ConfigError: the file cannot be written.
    """
    part = path.with_name(f".part-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        {".mp4": _write_mp4, ".gif": _write_gif}[path.suffix](frames, part, dt)
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or str(error).splitlines()[-1]}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _write_mp4(frames: Iterable[np.ndarray], path: Path, dt: float) -> None:
    import imageio_ffmpeg  # with the extra `video`

    frames = iter(frames)
    first = next(frames)
    # Not imageio's own writer: it forks in Python, which JAX's threads do not bear, and may outlive an error.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{first.shape[1]}x{first.shape[0]}", "-r", f"{1.0 / dt:.4f}", "-i", "-"]
    command += ["-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", str(path)]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log) as ffmpeg:
        assert ffmpeg.stdin is not None  # a pipe
        with contextlib.suppress(BrokenPipeError), ffmpeg.stdin:  # it has ended: the log says why
            for frame in itertools.chain([first], frames):
                ffmpeg.stdin.write(frame.tobytes())
        if ffmpeg.wait():
            log.seek(0)
            raise OSError(log.read().decode(errors="replace").strip() or "ffmpeg failed")


def _palette(first: Image.Image) -> Image.Image:
    """Colours for all pictures of a GIF: those of the `first`, and some of everywhere, for what is small or comes later.

    With one palette, and without dither, what stands still stays the same from picture to picture, and takes no room.
    """
    cube = np.stack(np.meshgrid(*[np.linspace(0, 255, 5)] * 3), axis=-1).round().astype(np.uint8)
    palette = Image.new("P", (1, 1))
    own = first.quantize(_OWN_COLOURS).getpalette() or []
    palette.putpalette(bytes(own[: 3 * _OWN_COLOURS]) + cube.tobytes())
    return palette


def _write_gif(frames: Iterable[np.ndarray], path: Path, dt: float) -> None:
    every = int(np.ceil(2 * _GIF_TICK / dt - 1e-6))
    palette, pictures = None, []
    for frame in itertools.islice(frames, 0, None, every):
        picture = Image.fromarray(frame)
        palette = palette or _palette(picture)
        pictures.append(picture.quantize(palette=palette, dither=Image.Dither.NONE))
    ends = np.round(np.arange(len(pictures) + 1) * every * dt / _GIF_TICK)  # rounded so that errors do not add up
    durations = (np.diff(ends) * _GIF_TICK * 1000).round().astype(int).tolist()  # ms
    first, *rest = pictures
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0)
