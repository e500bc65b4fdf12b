"""An environment for workers that costs nothing, and accidents. Imported by name in worker processes."""

import os
import time
from pathlib import Path

import numpy as np


class Stub:
    """Observes the sum of the actions so far; an episode has `horizon` steps, and is solved where the sum passes 1.

    Where an action is above 9, it dies; above 8, it hangs; with a `flag` file, only the first time.
    """

    def __init__(self, horizon=5, flag=None):
        self.horizon, self.flag = horizon, flag

    def reset(self):
        self.time, self.sum = 0, np.zeros(2)
        return self.sum.copy(), {}

    def step(self, action):
        if action[0] > 8 and not (self.flag and Path(self.flag).exists()):
            if self.flag:
                Path(self.flag).touch()
            if action[0] > 9:
                os._exit(7)
            time.sleep(1000)
        self.time, self.sum = self.time + 1, self.sum + action
        info = {"success": float(self.sum[0] > 1.0), "episode": {"r": self.sum[0], "l": self.time}}
        return self.sum.copy(), action[0], False, self.time == self.horizon, info

    def get_wrapper_attr(self, name):
        return getattr(self, name)


class Broken(Stub):
    def reset(self):
        raise ValueError("no such file")
