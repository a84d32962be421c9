"""Which faults a soak run has, as a function of its seed.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import random

from wire import KINDS

# Not here: wrong-cid, and read data that is wrong under a right digest. No host
# can tell an answer to another of its commands from the right one.
ANY_ANSWER = ("drop", "half-close", "garbage", "truncated", "term-req",
              "unknown-cid", "bad-type", "bad-hlen", "bad-pdo", "bad-plen",
              "hdgst", "stall", "lost-response", "double", "kato")
READ_ANSWER = ("short-data", "extra-data", "data-order", "ddgst",
               "success-without-last")
R2T = ("r2t-range", "r2t-order", "r2t-extra", "r2t-length", "drop step=r2t",
       "bad-type step=r2t", "hdgst step=r2t", "unknown-cid step=r2t")
# Refused for now (Command Interrupted), or late: no loss follows.
MILD = ("status=0x21 op=write", "status=0x21 op=read", "status=0x21 op=flush",
        "delay ms=200 op=write", "delay ms=200 op=read",
        "delay ms=200 op=flush")
BRINGING_UP = ("accept", "icreq", "connect", "property-get", "property-set",
               "identify")


def target_fault(dice):
    """Something wrong at the target while requests flow."""
    group = dice.randrange(8)
    after = f"queue=io after={dice.randrange(8)}"
    if group == 0:
        return f"{dice.choice(MILD)} {after}"
    if group == 1:
        return f"{dice.choice(R2T)} op=write {after}"
    if group < 4:
        return f"{dice.choice(READ_ANSWER)} op=read {after}"
    op = dice.choice(("read", "write", "flush"))
    return f"{dice.choice(ANY_ANSWER)} op={op} {after}"


def connect_fault(dice):
    """Something wrong while the path is brought up again."""
    op = dice.choice(BRINGING_UP)
    kinds = ["drop", "half-close", "garbage"]
    if op != "accept":
        kinds += ["term-req", "truncated", "bad-type", "bad-hlen",
                  "delay ms=200"]
    if op == "icreq":
        kinds += [f"bad-icresp step={field}"
                  for field in ("pfv", "cpda", "dgst", "maxh2cdata")]
    if op == "connect":
        kinds += ["unknown-cid", "hdgst"]
    return f"{dice.choice(kinds)} op={op}"


# How often something happens, and what it needs to know.
STEPS = {
    "frame": (40, lambda dice: dice.choice(KINDS)),
    "target": (26, target_fault),
    "connect": (8, connect_fault),
    "drop": (4, lambda dice: dice.choice(("drop", "close"))),
    "refuse": (3, lambda dice: ""),
    "restart": (4, lambda dice: ""),
    "cut": (4, lambda dice: ""),
    "flap": (6, lambda dice: ""),
    "stop": (5, lambda dice: ""),
}


def steps(seed, count):
    """Pairs of a step's name and its argument."""
    dice = random.Random(seed)
    names = list(STEPS)
    weights = [weight for weight, _ in STEPS.values()]
    for _ in range(count):
        name = dice.choices(names, weights)[0]
        yield name, STEPS[name][1](dice)
