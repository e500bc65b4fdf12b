"""The one style of figures and reports: colours, and numbers in words."""

import math

# Told apart with each of the three kinds of colour blindness, and on their ground; the first four are of Okabe and Ito's palette
# (https://jfly.uni-koeln.de/color/). A test measures both.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a3b00", "#3b2a8c")
PALETTE_ON_DARK = ("#3d94ec", "#f07830", "#5fe0a8", "#f0a6cc", "#fff1a8", "#8c5cff")
GREY = "#7d828a"  # of what is shown for comparison
GROUND, GROUND_DARK = "#ffffff", "#15181c"

_THIN = "\u202f"  # between thousands, and before a unit's prefix
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def number(x: float | None, digits: int = 3) -> str:
    """Some digits, from a thousand on a whole number with its thousands apart: "0.123", "12 345"; a dash where there is none."""
    if x is None or not math.isfinite(x):
        return "\u2013"
    text = f"{x:,.0f}".replace(",", _THIN) if abs(x) >= 999.5 else f"{x:.{digits}g}"
    return text.replace("-", "\u2212") if "e" not in text else text


def si(x: float, digits: int = 3) -> str:
    """Some digits with a prefix of the SI: "12 M", "3.07 M", "512 k"."""
    for size, prefix in _PREFIXES:
        if abs(x) >= size:
            return f"{x / size:.{digits}g}{_THIN}{prefix}".replace("-", "\u2212")
    return number(x, digits)


def seconds(x: float) -> str:
    """A span of time in its two largest units: "3 h 12 min", "45 s"."""
    whole = round(x)
    if whole < 60:
        return f"{x:.3g} s"
    minutes, hours = divmod(whole, 60)[0], whole // 3600
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {whole % 60} s"
