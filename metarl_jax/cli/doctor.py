"""`metarl doctor`."""

from .. import console, doctor
from ..options import DoctorOptions, parse


def run(argv: list[str]) -> int:
    parse(DoctorOptions, argv)
    console.print_tables(doctor.report())
    return 0
