"""Where the boxes and wires of a graph stand in its picture: rows by longest paths, few crossings, short wires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

from fxnas.wiring import Wire, Wiring

_SWEEPS = 6
_BEND = 0.3  # width that a wire takes on its way past a row, in boxes
_MOST_BENDS = 10_000  # of all wires; with more of them, wires are drawn straight


@dataclass
class Layout:
    """A picture of a graph.

    Attributes:
        boxes: of each box, its middle in widths of a box, and its row.
        bends: of each wire, where it passes the rows between its ends, in order.
        width: of the picture, in boxes.
        rows: how many there are.
    """

    boxes: list[tuple[float, int]]
    bends: list[list[float]]
    width: float
    rows: int


def layout(wiring: Wiring) -> Layout:
    """A layered layout: each box below all that it takes something from (longest-path layering).

    A wire past several rows goes through points of its own there, which wires from the same box share. Rows are ordered
    and placed by the mean of the neighbours, downwards and upwards in turn (Sugiyama et al. 1981).
    """
    rows = _rows(wiring)
    net = _Net(rows, wiring)
    for sweep in range(_SWEEPS):
        net.sweep(down=sweep % 2 == 0)
    left = min((x - net.width(point) / 2 for point, x in net.x.items()), default=0.0)
    right = max((x + net.width(point) / 2 for point, x in net.x.items()), default=0.0)
    boxes = [(round(net.x[i, rows[i]] - left, 2), rows[i]) for i in range(len(rows))]
    bends = [
        [round(net.x[wire.source, row] - left, 2) for row in net.passed(wire) if (wire.source, row) in net.x]
        for wire in wiring.wires
    ]
    return Layout(boxes, bends, round(right - left, 2), max(rows, default=-1) + 1)


def _rows(wiring: Wiring) -> list[int]:
    rows = [0] * len(wiring.boxes)
    for wire in sorted(wiring.wires, key=lambda wire: wire.target):
        rows[wire.target] = max(rows[wire.target], rows[wire.source] + 1)
    users: dict[int, int] = {}
    for wire in wiring.wires:
        users[wire.source] = min(users.get(wire.source, len(rows)), rows[wire.target])
    for place, box in enumerate(wiring.boxes):
        if box.kind == "value" and place in users:  # beside its first user, not at the top
            rows[place] = users[place] - 1
    return rows


Point = tuple[int, int]  # the box that it belongs to, and the row


@dataclass
class _Net:
    """Boxes and bends as points in rows."""

    home: list[int]
    wiring: Wiring
    x: dict[Point, float] = field(default_factory=dict)
    above: dict[Point, list[Point]] = field(default_factory=dict)
    below: dict[Point, list[Point]] = field(default_factory=dict)
    ordered: list[list[Point]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ordered = [[] for _ in range(max(self.home, default=-1) + 1)]
        for box, row in enumerate(self.home):
            self.ordered[row].append((box, row))
        bent = sum(len(self.passed(wire)) for wire in self.wiring.wires) <= _MOST_BENDS
        for wire in self.wiring.wires:
            path = [(wire.source, self.home[wire.source])]
            path += [(wire.source, row) for row in self.passed(wire) if bent]
            for one, other in pairwise([*path, (wire.target, self.home[wire.target])]):
                if one not in self.above.setdefault(other, []):
                    self.above[other].append(one)
                    self.below.setdefault(one, []).append(other)
            for point in path[1:]:
                if point not in self.x:
                    self.x[point] = 0.0
                    self.ordered[point[1]].append(point)
        for points in self.ordered:
            self._place(points, {point: float(i) for i, point in enumerate(points)})

    def passed(self, wire: Wire) -> range:
        """The rows between the ends of a wire."""
        return range(self.home[wire.source] + 1, self.home[wire.target])

    def width(self, point: Point) -> float:
        return 1.0 if self.home[point[0]] == point[1] else _BEND

    def sweep(self, *, down: bool) -> None:
        """Orders and places each row by the neighbours in the row before it."""
        neighbours = self.above if down else self.below
        for row in self.ordered if down else reversed(self.ordered):
            wanted = {point: self._mean(point, neighbours) for point in row}
            row.sort(key=lambda point: wanted[point])
            self._place(row, wanted)

    def _mean(self, point: Point, neighbours: Mapping[Point, list[Point]]) -> float:
        near = neighbours.get(point, ())
        return fmean(self.x[other] for other in near) if near else self.x[point]

    def _place(self, row: list[Point], wanted: Mapping[Point, float]) -> None:
        """As near to what is wanted as the order and the widths allow: blocks that would overlap move as one."""
        blocks: list[tuple[float, float, list[Point]]] = []  # where the middle is wanted, width, points
        for point in row:
            middle, width, points = wanted[point], self.width(point), [point]
            while blocks and blocks[-1][0] + blocks[-1][1] / 2 > middle - width / 2:
                before, wide, others = blocks.pop()
                weight = len(others) / (len(others) + len(points))
                joined = wide + width
                left = weight * (before - wide / 2) + (1 - weight) * (middle - width / 2 - wide)
                middle, width, points = left + joined / 2, joined, [*others, *points]
            blocks.append((middle, width, points))
        for middle, width, points in blocks:
            left = middle - width / 2
            for point in points:
                self.x[point] = left + self.width(point) / 2
                left += self.width(point)
