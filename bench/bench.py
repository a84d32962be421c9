#!/usr/bin/python3
"""Measures the card against what else there is, and reports it.

Variants take turns, each booted anew: A B C A B C ... A run of a variant goes
through all cases. Written are a table, results.csv and results.svg.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "guest"))

import bare_bench
import chart
import fio_bench
import host
import machine
import netdevs
import peers_bench
from bed import Bed
from native_target import PROGRAM, NativeTarget
from results import Results

BENCHES = {bench.name: bench for bench in (
    bare_bench.Null(), bare_bench.Tcp(), fio_bench.Initiator(),
    fio_bench.Null(), peers_bench.Iscsi(), peers_bench.Nfs())}


class Lab:
    """What all machines of a session share."""

    def __init__(self, options):
        self.seconds = options.seconds
        self._cases = options.case
        self.pinning = host.Pinning(options.pin)
        self.clock = []         # the guest's time by the host's, per case
        self.target = None
        self._ends = []
        self.wire = netdevs.open_netdev(options.net, self.pinning)
        self.bed = Bed()
        if not os.access(PROGRAM, os.X_OK):
            print(f"no NVMe/TCP: {PROGRAM} is missing: run ninja "
                  "test-programs")
        else:
            self.target = NativeTarget(
                self.bed.folder, ["1,size=256M"], listen=self.wire.listen,
                wrapper=self.wire.wrapper)

    def card_args(self, function):
        """QEMU's arguments for a card with a disk on the target."""
        return self.bed.card_args(
            self.target.url(address=self.wire.target_address),
            netdev=self.wire.netdev, ip=self.wire.card_ip,
            card=f",function={function}")

    def wanted(self, cases):
        """Those of them that shall be measured."""
        return [c for c in cases if not self._cases or c in self._cases]

    def target_pid(self):
        return self.target.pid if self.target else None

    def check_clock(self, guest, by_host):
        """Remembers how the guest's clock went against the host's."""
        self.clock.append(guest / by_host)

    def at_end(self, function):
        """Calls it when the session is over."""
        self._ends.append(function)

    def close(self):
        for function in self._ends:
            function()
        if self.target:
            self.target.close()
        self.bed.close()
        self.wire.close()


def measure(lab, options, results):
    """Runs the benches; a bench that cannot run says so."""
    runs = options.runs
    for name in options.benches:
        bench = BENCHES[name]
        reason = bench.why_not(lab)
        if reason:
            print(f"{name} is left out: {reason}")
            continue
        bench.prepare(lab)
        variants = {variant: how for variant, how in
                    bench.variants(lab).items()
                    if not options.variant or variant in options.variant}
        for number in range(1, runs + 1):
            for variant, how in variants.items():
                print(f"{name}: run {number} of {runs}, {variant}",
                      flush=True)
                for sample in bench.run(lab, variant, how, number):
                    results.add(sample)


def report(lab, results, heading, folder):
    lines = list(heading)
    if lab.clock:
        lines.append(f"guest's clock by the host's: {min(lab.clock):.3f} to "
                     f"{max(lab.clock):.3f} (below 1: the case's begin and "
                     "end take time)")
    for bench in results.benches():
        lines += ["", f"{bench}: medians", *results.table(bench)]
    text = "\n".join(lines) + "\n"
    print("\n" + text, end="")
    with open(os.path.join(folder, "results.txt"), "w") as f:
        f.write(text)
    results.write_csv(os.path.join(folder, "results.csv"))
    with open(os.path.join(folder, "results.svg"), "w") as f:
        f.write(chart.draw(results, heading))
    print(f"\nwritten to {folder}: results.txt, results.csv, results.svg")


def parse_options():
    p = argparse.ArgumentParser(description="Measures the card.")
    p.add_argument("benches", nargs="*", metavar="BENCH",
                   help=", ".join(BENCHES) + "; all without one")
    p.add_argument("--variant", action="append",
                   help="only this one; may be given more than once")
    p.add_argument("--case", action="append",
                   help="likewise, such as read:4096:1")
    p.add_argument("--runs", type=int, default=3,
                   help="of each variant (default 3)")
    p.add_argument("--seconds", type=float, default=2,
                   help="of each case in each run (default 2)")
    p.add_argument("--net", choices=["auto", "tap", "user"], default="auto",
                   help="between the machine and the target")
    p.add_argument("--no-pin", dest="pin", action="store_false",
                   help="leave threads to the scheduler")
    p.add_argument("--out", default=".", help="folder for what is written")
    p.add_argument("--short", action="store_true",
                   help="only see that everything runs: 1 run of 0.3 s")
    options = p.parse_args()
    options.benches = options.benches or list(BENCHES)
    for name in options.benches:
        if name not in BENCHES:
            p.error(f"there is no bench {name}: {', '.join(BENCHES)}")
    if options.short:
        options.runs, options.seconds = 1, 0.3
    return options


def main():
    options = parse_options()
    os.makedirs(options.out, exist_ok=True)
    lab = Lab(options)
    results = Results()
    try:
        heading = host.describe(machine.QEMU, machine.accelerator(),
                                lab.pinning)
        measure(lab, options, results)
        if not results.samples:
            return 77           # nothing could run: skipped, for Meson
        report(lab, results, heading, options.out)
    finally:
        lab.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
