"""What is measured. Each scenario makes one run and returns its figures."""

from . import http, pages, rollups, statistics, write_path
from .sizes import SIZES

__all__ = ["ALL", "SIZES", "with_what_they_need"]

ALL = write_path.ALL | http.ALL | statistics.ALL | rollups.ALL | pages.ALL

# What a scenario's ratios are held against.
NEEDS = write_path.NEEDS | http.NEEDS | statistics.NEEDS


def with_what_they_need(names):
    wanted = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            pending += NEEDS.get(name, [])
    return [name for name in ALL if name in wanted]
