"""The relative position of two boxes in an image: which overlaps and distances they can have.

Numbers in, numbers out. Sizes are (width, height) in pixels. Overlap is the intersection over the
smaller box. Unlike the intersection over the union, which cannot exceed the ratio of the areas, it
reaches from 0 to 1 whatever the areas are, so that both can be set apart.
"""

import math

import numpy as np

Size = tuple[int, int]
Offsets = tuple[int, int, int, int]


def overlap_of(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Compute the intersection of two boxes (x, y, width, height) over the smaller one."""
    sides = []
    for axis in (0, 1):
        start = max(first[axis], second[axis])
        end = min(first[axis] + first[axis + 2], second[axis] + second[axis + 2])
        sides.append(max(0.0, end - start))
    return sides[0] * sides[1] / min(first[2] * first[3], second[2] * second[3])


def overlap_range(first: Size, second: Size, image: Size) -> tuple[float, float]:
    """Return the smallest and the largest overlap that two boxes can have in an image."""
    low, high = _shared_range(first, second, image)
    smaller = min(math.prod(first), math.prod(second))
    return low[0] * low[1] / smaller, high[0] * high[1] / smaller


def distance_range(first: Size, second: Size, image: Size) -> tuple[float, float]:
    """Return the smallest and the largest distance of the centers, in widths and heights."""
    return 0.0, math.hypot(*_reach(first, second, image))


def place_by_overlap(first: Size, second: Size, image: Size, overlap: float) -> Offsets:
    """Draw the positions of two boxes with a given overlap.

    All relative positions with this overlap, and then all positions of the pair in the image, are
    equally likely.

    Args:
        first, second (tuple[int, int]): The sizes of the boxes.
        image (tuple[int, int]): The size of the image.
        overlap (float): A value in ``overlap_range``; the boxes have it but for rounding.

    Returns:
        tuple[int, int, int, int]: (x1, y1, x2, y2).
    """
    low, high = _shared_range(first, second, image)
    shared = overlap * min(math.prod(first), math.prod(second))
    if shared <= 0:
        return _place_apart(first, second, image, low)
    # What the boxes share is sx wide and sy high, sx sy = shared. Both may be less than the smaller
    # side (a box then sticks out on one of two sides of each axis), or one of them equals it (and
    # the offset along that axis is free). Of the offsets, an area d(sx) d(sy) of the first kind
    # has d(sx) / sx for each d(shared), and |difference of the sides| / side of the others.
    least = max(low[0], shared / high[1])
    most = min(high[0], shared / low[1]) if low[1] else high[0]
    within_x = low[1] <= shared / high[0] <= high[1]
    within_y = low[0] <= shared / high[1] <= high[0]
    weights = (
        4 * math.log(most / least) if most > least else 0.0,
        2 * abs(first[0] - second[0]) / high[0] if within_x else 0.0,
        2 * abs(first[1] - second[1]) / high[1] if within_y else 0.0,
    )
    u = np.random.random_sample() * sum(weights)
    if u < weights[0] or not any(weights):
        across = least * (max(most, least) / least) ** np.random.random_sample()
    elif u < weights[0] + weights[1]:
        across = float(high[0])
    else:
        across = shared / high[1]
    sides = across, shared / across
    moves = [_move(first[i], second[i], sides[i]) for i in (0, 1)]
    return _place_moved(first, second, image, (moves[0], moves[1]))


def place_by_distance(first: Size, second: Size, image: Size, distance: float) -> Offsets:
    """Draw the positions of two boxes whose centers have a given distance.

    All directions in which the distance fits, and then all positions of the pair in the image, are
    equally likely.

    Args:
        first, second (tuple[int, int]): The sizes of the boxes.
        image (tuple[int, int]): The size of the image.
        distance (float): A value in ``distance_range``; the boxes have it but for rounding.

    Returns:
        tuple[int, int, int, int]: (x1, y1, x2, y2).
    """
    reach = _reach(first, second, image)
    turn = 0.0
    if distance > 0:
        start = math.acos(min(1.0, reach[0] / distance))
        end = math.asin(min(1.0, reach[1] / distance))
        turn = start + (end - start) * np.random.random_sample()
    moves = []
    for axis, part in enumerate((math.cos(turn), math.sin(turn))):
        sign = 1 if np.random.random_sample() < 0.5 else -1
        move = sign * distance * part * image[axis] - (second[axis] - first[axis]) / 2
        moves.append(round(move))
    return _place_moved(first, second, image, (moves[0], moves[1]))


def _shared_range(first: Size, second: Size, image: Size) -> tuple[Size, Size]:
    """Return the least and the most that the boxes can share along x and along y."""
    least = [max(0, a + b - whole) for a, b, whole in zip(first, second, image, strict=True)]
    most = [min(a, b) for a, b in zip(first, second, strict=True)]
    return (least[0], least[1]), (most[0], most[1])


def _reach(first: Size, second: Size, image: Size) -> tuple[float, float]:
    """Return how far apart the centers can be along x and along y."""
    x, y = (1 - (a + b) / (2 * whole) for a, b, whole in zip(first, second, image, strict=True))
    return x, y


def _move(first: int, second: int, shared: float) -> int:
    """Draw how far the second side starts after the first, so that they share this much."""
    u = np.random.random_sample()
    if shared > min(first, second) - 1e-6:  # all of it, but for rounding
        return round(u * (first - second))
    return round(first - shared if u < 0.5 else shared - second)


def _place_moved(first: Size, second: Size, image: Size, moves: tuple[int, int]) -> Offsets:
    """Draw the position of a pair whose second box starts by ``moves`` after the first."""
    starts = []
    for a, b, whole, move in zip(first, second, image, moves, strict=True):
        move = min(max(move, a - whole), whole - b)  # rounding may step out by one
        start, end = max(0, -move), min(whole - a, whole - b - move)
        starts.append((start + int(np.random.random_sample() * (end - start + 1)), move))
    (x, right), (y, down) = starts
    return x, y, x + right, y + down


def _place_apart(first: Size, second: Size, image: Size, low: Size) -> Offsets:
    """Draw the positions of boxes that share nothing: apart along one axis, anyhow along others."""
    axes = [axis for axis in (0, 1) if low[axis] == 0]
    apart = axes[int(np.random.random_sample() * len(axes))]
    starts = []
    for axis, (a, b, whole) in enumerate(zip(first, second, image, strict=True)):
        if axis != apart:
            pair = [int(np.random.random_sample() * (whole - side + 1)) for side in (a, b)]
        else:
            gaps = sorted(int(np.random.random_sample() * (whole - a - b + 1)) for _ in range(2))
            if np.random.random_sample() < 0.5:
                pair = [gaps[0], gaps[1] + a]
            else:
                pair = [gaps[1] + b, gaps[0]]
        starts.append(pair)
    return starts[0][0], starts[1][0], starts[0][1], starts[1][1]
