"""`metarl doctor`."""

import dataclasses

from ..show import doctor, tables
from .options import parse


@dataclasses.dataclass(frozen=True)
class DoctorOptions:
    """Versions, devices, which physics backends work here and why others do not."""


def run(argv: list[str]) -> int:
    """`metarl doctor`; returns the exit code."""
    parse(DoctorOptions, argv)
    tables.print_tables(doctor.report())
    return 0
