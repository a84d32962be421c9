"""What was measured, as table and as CSV.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import csv
import statistics
from dataclasses import dataclass, fields
from typing import Optional


@dataclass
class Sample:
    """One case, measured once. Times are in microseconds."""
    bench: str
    case: str
    variant: str
    run: int
    iops: float
    latency: float              # mean, from submission to completion
    device_cpu: float           # of QEMU's threads but vCPUs, per request
    vcpu: float                 # of vCPU threads, per request
    target_cpu: Optional[float] = None          # per request
    guest_busy: Optional[float] = None          # per cent, as the guest sees

    @property
    def qemu_cpu(self):
        """Of all of QEMU's threads, the guest's own work included."""
        return self.device_cpu + self.vcpu

    def __post_init__(self):
        if not self.iops > 0:
            raise ValueError(f"no request completed: {self}")


COLUMNS = {"iops": "IOPS", "latency": "latency us", "device_cpu": "device us",
           "qemu_cpu": "all QEMU us", "target_cpu": "target us",
           "guest_busy": "guest busy %"}


class Results:
    """All samples, in the order in which they were taken."""

    def __init__(self, samples=()):
        self.samples = list(samples)

    def add(self, sample):
        self.samples.append(sample)

    def benches(self):
        return list(dict.fromkeys(s.bench for s in self.samples))

    def _of(self, bench):
        return [s for s in self.samples if s.bench == bench]

    def cases(self, bench):
        return list(dict.fromkeys(s.case for s in self._of(bench)))

    def variants(self, bench):
        return list(dict.fromkeys(s.variant for s in self._of(bench)))

    def values(self, bench, case, variant, what):
        """One figure of all runs; empty when it was not measured."""
        values = [getattr(s, what) for s in self._of(bench)
                  if s.case == case and s.variant == variant]
        return [v for v in values if v is not None]

    def median(self, *args):
        """The median over the runs, or None."""
        values = self.values(*args)
        return statistics.median(values) if values else None

    def write_csv(self, path):
        names = [field.name for field in fields(Sample)]
        with open(path, "w", newline="") as f:
            out = csv.writer(f)
            out.writerow(names)
            for s in self.samples:
                out.writerow(_csv_value(getattr(s, name)) for name in names)

    def table(self, bench):
        """Lines of text: medians, the range of the IOPS, and the ratio of the
        IOPS to those of the first variant."""
        lines = ["{:<16}{:<27}{:>9}{:>19}{:>7}".format(
            "case", "variant", "IOPS", "(min-max)", "ratio") +
            "".join(f"{title:>14}" for what, title in COLUMNS.items()
                    if what != "iops")]
        first = self.variants(bench)[0]
        for case in self.cases(bench):
            base = self.median(bench, case, first, "iops")
            for variant in self.variants(bench):
                lines.append(self._row(bench, case, variant, base))
        return lines

    def _row(self, bench, case, variant, base):
        iops = self.values(bench, case, variant, "iops")
        if not iops:
            return f"{case:<16}{variant:<27}{'not measured':>14}"
        median = statistics.median(iops)
        span = f"({min(iops):.0f}-{max(iops):.0f})"
        ratio = f"{median / base:.2f}" if base else "-"
        row = f"{case:<16}{variant:<27}{median:>9.0f}{span:>19}{ratio:>7}"
        for what in COLUMNS:
            if what != "iops":
                value = self.median(bench, case, variant, what)
                row += f"{'-':>14}" if value is None else f"{value:>14.2f}"
        return row


def _csv_value(value):
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else value
