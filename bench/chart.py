"""The results as a picture: bars of each variant in each case.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

from xml.sax.saxutils import escape

COLOURS = ["#d1495b", "#8b1e3f", "#e9a03b", "#b9c6d3", "#8fb1d0", "#4f8fc0",
           "#a9c9a4", "#4b9b6e"]
FONT = "font-family='DejaVu Sans, sans-serif'"
ROW = 15                        # heights and widths are in pixels
GAP = 9                         # between cases
LABELS = 110                    # for the names of cases
BAR = 270                       # of a column's longest bar
VALUE = 80                      # for the number after a bar
PANELS = [("iops", "requests per second", "{:,.0f}"),
          ("qemu_cpu", "CPU of all threads of QEMU, microseconds per "
           "request", "{:.1f}")]
WIDTH = LABELS + len(PANELS) * (BAR + VALUE) + 20


class Drawing:
    """SVG elements below one another."""

    def __init__(self):
        self._parts = []
        self.y = 10

    def text(self, x, text, size=11, weight="normal", fill="#222"):
        self._parts.append(
            f"<text x='{x}' y='{self.y}' {FONT} font-size='{size}' "
            f"font-weight='{weight}' fill='{fill}'>{escape(text)}</text>")

    def bar(self, x, width, colour, height=ROW - 3):
        self._parts.append(
            f"<rect x='{x}' y='{self.y - height + 2}' width='{width:.1f}' "
            f"height='{height}' fill='{colour}'/>")

    def finish(self):
        height = self.y + 10
        return (f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' "
                f"height='{height}' viewBox='0 0 {WIDTH} {height}'>\n"
                f"<rect width='{WIDTH}' height='{height}' fill='white'/>\n"
                + "\n".join(self._parts) + "\n</svg>\n")


def _legend(out, variants):
    out.y += 22
    x = LABELS
    for i, variant in enumerate(variants):
        out.bar(x, 12, COLOURS[i % len(COLOURS)], 12)
        out.text(x + 17, variant)
        x += 30 + 7 * len(variant)


def _case(out, results, bench, case):
    variants = results.variants(bench)
    top = {what: max((results.median(bench, case, v, what) or 0
                      for v in variants)) for what, _, _ in PANELS}
    out.y += GAP
    for i, variant in enumerate(variants):
        out.y += ROW
        if i == 0:
            out.text(10, case)
        for panel, (what, _, form) in enumerate(PANELS):
            value = results.median(bench, case, variant, what)
            if value is None:
                continue
            x = LABELS + panel * (BAR + VALUE)
            width = BAR * value / top[what] if top[what] else 0
            out.bar(x, width, COLOURS[i % len(COLOURS)])
            out.text(x + width + 5, form.format(value), 10)


def draw(results, heading):
    """The picture, as the text of an SVG file. Each case has its own scale:
    bars compare variants, not cases."""
    out = Drawing()
    for bench in results.benches():
        out.y += 22
        out.text(10, bench, 15, "bold")
        _legend(out, results.variants(bench))
        out.y += 24
        out.text(10, "scale per case", 9, fill="#666")
        for panel, (_, title, _) in enumerate(PANELS):
            out.text(LABELS + panel * (BAR + VALUE), title, 11, "bold")
        for case in results.cases(bench):
            _case(out, results, bench, case)
        out.y += 14
    for line in heading:
        out.y += 14
        out.text(10, line, 9, fill="#666")
    return out.finish()
