"""The installed `metaworld` package, mended where MuJoCo 3.17 and newer break it; importing this module does it.

The constructor of its environments writes 11 numbers into each row of `MjModel.eq_data`, which has had 12 since. The twelfth
is 0 here, as MuJoCo's own compiler leaves it. Nothing else is touched.
"""

import mujoco
from metaworld.sawyer_xyz_env import SawyerMocapBase

WELD = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0)


def _reset_mocap_welds(self: SawyerMocapBase) -> None:
    """Sets the welds that hold the hand to the mocap body, as the method of this name does in the package."""
    welds = self.model.eq_type == mujoco.mjtEq.mjEQ_WELD
    self.model.eq_data[welds, : len(WELD)] = WELD
    self.model.eq_data[welds, len(WELD) :] = 0.0


SawyerMocapBase.reset_mocap_welds = _reset_mocap_welds
