"""Mean-shift filtering in numba, byte for byte what OpenCV gives, ten to twenty times as fast.

The method: a pixel is a state (x, y, colour). One step moves it to the mean of all pixels that
lie in the square of the spatial radius around it and within the colour radius of its colour;
up to five steps, then the pixel takes the colour it arrived at. The half-size picture is
filtered whole; at full size only the pixels near its edges are, the rest is the enlarged result.

Where the time goes is the sum over the square, so that alone is written as vector code
(`_column_sums`): explicitly, because whether a compiler vectorises a loop of this kind by itself
changes with its version and the processor, silently, and costs a factor of ten. Everything there
fits 16 bits: a squared difference of bytes does, and their sum saturates, which cannot turn
"too far" into "near" while the colour radius is below 256.

Importing this module imports numba; `_mean_shift` does so on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils
from numba.extending import intrinsic

from mmdbench.corruptions._compiling import compiled, splat

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["pyramid_mean_shift"]

_ITERATIONS = 5
_EPSILON = 1
# Columns of zeros right of the picture, so that the widest vector may read past its edge.
_PADDING = 32


def _wide_lanes() -> int:
    """The number of 16-bit lanes that fit the registers of the processor numba compiles for."""
    features = numba.config.CPU_FEATURES
    if features is None:
        features = binding.get_host_cpu_features().flatten()
    return 32 if "+avx512bw" in features else 16


_WIDE = _wide_lanes()
_NARROW = 16
# Half the memory where the widest windows would not fit the first cache; else no widening in every row.
_STORED = np.uint8 if _WIDE > _NARROW else np.uint16


def _vector(bits: int, lanes: int) -> Any:
    return ir.VectorType(ir.IntType(bits), lanes)


def _call(builder: Any, name: str, result: Any, *operands: Any) -> Any:
    signature = ir.FunctionType(result, [operand.type for operand in operands])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), operands)


def _words(builder: Any, number: Any, lanes: int) -> Any:
    """A vector of 16-bit words that all hold `number`."""
    words = _vector(16, lanes)
    return splat(builder, builder.trunc(number, words.element), words)


def _load(builder: Any, pointer: Any, vector: Any) -> Any:
    """The vector at any address of an array of its elements."""
    loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    loaded.align = vector.element.width // 8
    return loaded


def _totals(builder: Any, vectors: list[Any]) -> list[Any]:
    """The sums of up to four vectors of 16-bit words as 64-bit integers, added up side by side."""
    wide = _vector(32, vectors[0].type.count // 2)
    low, high = splat(builder, wide.element(0xFFFF), wide), splat(builder, wide.element(16), wide)
    sums = []
    for vector in vectors:
        pairs = builder.bitcast(vector, wide)
        sums.append(builder.add(builder.and_(pairs, low), builder.lshr(pairs, high)))
    # Each round halves the vectors: groups of lanes of one beside the same groups of the other.
    group = 1
    while len(sums) > 1:
        sums = [_zipped(builder, sums[at], sums[at + 1], group) for at in range(0, len(sums), 2)]
        group *= 2
    total = sums[0]
    while total.type.count > group:
        total = builder.add(*_halves(builder, total))
    lane = ir.IntType(32)
    return [builder.zext(builder.extract_element(total, lane(n)), ir.IntType(64)) for n in range(group)]


def _zipped(builder: Any, first: Any, second: Any, group: int) -> Any:
    """The sums of neighbouring groups of lanes, those of two vectors in turn."""
    lanes = first.type.count
    starts = range(0, lanes, 2 * group)
    parts = []
    for shift in (0, group):
        places = [start + shift + n + of for start in starts for of in (0, lanes) for n in range(group)]
        parts.append(builder.shuffle_vector(first, second, ir.Constant(_vector(32, lanes), places)))
    return builder.add(*parts)


def _halves(builder: Any, vector: Any) -> list[Any]:
    half = vector.type.count // 2
    return [
        builder.shuffle_vector(vector, vector, ir.Constant(_vector(32, half), list(range(at, at + half))))
        for at in (0, half)
    ]


def _add_row(builder: Any, pointers: Any, centre: Any, limits: Any, ones: Any, running: Any) -> None:
    """Add one row of pixels, given a pointer into each plane, to the five running sums."""
    lanes, words = limits.type.count, limits.type
    channels, distance = [], None
    for pointer, middle in zip(pointers, centre, strict=True):
        loaded = _load(builder, pointer, _vector(np.iinfo(_STORED).bits, lanes))
        channel = loaded if loaded.type == words else builder.zext(loaded, words)
        difference = builder.sub(channel, middle)
        square = builder.mul(difference, difference)
        if distance is None:
            distance = square
        else:
            distance = _call(builder, f"llvm.uadd.sat.v{lanes}i16", words, distance, square)
        channels.append(channel)
    near = builder.icmp_unsigned("<", distance, limits)
    none = ir.Constant(words, [0] * lanes)
    # Choices between a vector and zero, which AVX-512 adds in one instruction.
    count = builder.add(builder.load(running[0]), builder.select(near, ones, none))
    builder.store(count, running[0])
    # Adding the count so far in every row weighs each pixel by the rows from its own to the last.
    additions = [count, *(builder.select(near, channel, none) for channel in channels)]
    for accumulator, addition in zip(running[1:], additions, strict=True):
        builder.store(builder.add(builder.load(accumulator), addition), accumulator)


def _column_sums(lanes: int) -> Any:
    """Make the vector function that sums over a block `lanes` columns wide, one lane a column.

    It is called as `(planes, (start, rows, skipped), colour, limits)`: `planes` the picture as
    3×H×W, `start` the flat index of the block's first pixel in plane 0, `rows` at most 257, `colour`
    the centre as three integers, and `limits` those of `_limits`, of which the first `skipped` do not
    count. Over the pixels with a squared distance below their column's limit it returns their number,
    the sum of their columns (from 0), the sum of `rows` minus their row (from 0), and the sums of the
    three channels.
    """
    columns = ir.Constant(_vector(16, lanes), list(range(lanes)))
    zero = ir.Constant(_vector(16, lanes), [0] * lanes)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        planes, block, colour, limits = arguments
        start, rows, skipped = cgutils.unpack_tuple(builder, block)
        array = context.make_array(signature.args[0])(context, builder, planes)
        _, height, width = cgutils.unpack_tuple(builder, array.shape)
        centre = [_words(builder, part, lanes) for part in cgutils.unpack_tuple(builder, colour)]
        words = context.make_array(signature.args[3])(context, builder, limits).data
        # Loads of what the compiler would otherwise find out, and then compute again in every row.
        limits, ones = (
            _load(builder, builder.gep(words, [at]), zero.type) for at in (skipped, skipped.type(2 * _WIDE))
        )
        plane = builder.mul(height, width)
        offsets = [builder.mul(plane, plane.type(channel)) for channel in range(3)]
        running = [cgutils.alloca_once_value(builder, zero) for _ in range(5)]
        with cgutils.for_range(builder, rows) as loop:
            position = builder.add(start, builder.mul(loop.index, width))
            pointers = [builder.gep(array.data, [builder.add(position, offset)]) for offset in offsets]
            _add_row(builder, pointers, centre, limits, ones, running)
        count, up, *colours = (builder.load(accumulator) for accumulator in running)
        results = _totals(builder, [count, builder.mul(count, columns)])
        results += _totals(builder, [up, *colours])
        return context.make_tuple(builder, signature.return_type, results)

    def typed(_typing: Any, planes: Any, _block: Any, _colour: Any, limits: Any) -> Any:
        three, six = (numba.types.UniTuple(numba.int64, length) for length in (3, 6))
        return six(planes, three, three, limits), generate

    return intrinsic(typed)


_sum_wide = _column_sums(_WIDE)
_sum_narrow = _column_sums(_NARROW)


@compiled
def _planes(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The channels of an H×W×3 image one after another, each row padded with zeros."""
    height, width, _ = image.shape
    planes = np.zeros((3, height, width + _PADDING), _STORED)
    for y in range(height):
        for x in range(width):
            planes[0, y, x] = image[y, x, 0]
            planes[1, y, x] = image[y, x, 1]
            planes[2, y, x] = image[y, x, 2]
    return planes


@compiled
def _limits(limit: int) -> NDArray[np.uint16]:
    """The limit for columns that count, 0 for those right of them, and ones to count with."""
    limits = np.zeros(3 * _WIDE, np.uint16)
    limits[:_WIDE] = limit
    limits[2 * _WIDE :] = 1
    return limits


@compiled
def _step(planes: Any, state: Any, radius: float, limits: Any) -> tuple[int, int, int, int, int]:
    """The state after one step: mean position and colour, ties rounded to even; (-1, …) if none is near."""
    x, y, red, green, blue = state
    left = max(int(np.rint(x - radius)), 0)
    right = min(int(np.rint(x + radius)), planes.shape[2] - _PADDING - 1)
    top = max(int(np.rint(y - radius)), 0)
    rows = min(int(np.rint(y + radius)), planes.shape[1] - 1) - top + 1
    count = sum_x = sum_up = sum_red = sum_green = sum_blue = 0
    column = left
    while column <= right:
        valid = right - column + 1
        block = (top * planes.shape[2] + column, rows, max(_WIDE - valid, 0))
        if valid > _NARROW:
            n, dx, up, r, g, b = _sum_wide(planes, block, (red, green, blue), limits)
        else:
            n, dx, up, r, g, b = _sum_narrow(planes, block, (red, green, blue), limits)
        count += n
        sum_x += dx + n * column
        sum_up += up
        sum_red += r
        sum_green += g
        sum_blue += b
        column += _WIDE if valid > _NARROW else _NARROW
    if count == 0:
        return -1, -1, -1, -1, -1
    # Multiplying by the reciprocal is not the same as dividing when a mean ends in one half.
    share = 1.0 / count
    return (
        int(np.rint(sum_x * share)),
        int(np.rint((count * (top + rows) - sum_up) * share)),
        int(np.rint(sum_red * share)),
        int(np.rint(sum_green * share)),
        int(np.rint(sum_blue * share)),
    )


@compiled
def _settle(planes: Any, memo: Any, x: int, y: int, radius: float, limits: Any) -> Any:
    """The final colour of the pixel (x, y).

    `memo` holds, for each position, the last step taken from there: 24 bits of the colour it was
    for, then where it led as two 8-bit offsets (from 1, so that 0 means none yet) and a colour.
    Paths of neighbours run together, so a tenth to a half of all steps are found there.
    """
    red, green, blue = np.int64(planes[0, y, x]), np.int64(planes[1, y, x]), np.int64(planes[2, y, x])
    for _ in range(_ITERATIONS):
        colour = (red << 16) | (green << 8) | blue
        known = memo[y, x]
        if known != 0 and (known >> 40) & 0xFFFFFF == colour:
            next_x, next_y = x + ((known >> 32) & 0xFF) - 128, y + ((known >> 24) & 0xFF) - 128
            next_red, next_green, next_blue = (known >> 16) & 0xFF, (known >> 8) & 0xFF, known & 0xFF
        else:
            state = (x, y, red, green, blue)
            next_x, next_y, next_red, next_green, next_blue = _step(planes, state, radius, limits)
            if next_x < 0:
                break
            offsets = ((next_x - x + 128) << 8) | (next_y - y + 128)
            memo[y, x] = (colour << 40) | (offsets << 24) | (next_red << 16) | (next_green << 8) | next_blue
        moved = abs(next_x - x) + abs(next_y - y)
        change = (next_red - red) ** 2 + (next_green - green) ** 2 + (next_blue - blue) ** 2
        x, y, red, green, blue = next_x, next_y, next_red, next_green, next_blue
        if moved == 0 or moved + change <= _EPSILON:
            break
    return red, green, blue


@compiled
def _filter(image: Any, wanted: Any, radius: float, limit: int, result: Any) -> None:
    """Write the filtered colour of every wanted pixel of `image` into `result`."""
    height, width = wanted.shape
    planes = _planes(image)
    limits = _limits(limit)
    memo = np.zeros((height, width), np.int64)
    for y in range(height):
        for x in range(width):
            if wanted[y, x]:
                red, green, blue = _settle(planes, memo, x, y, radius, limits)
                result[y, x, 0] = red
                result[y, x, 1] = green
                result[y, x, 2] = blue


@compiled
def _near_edges(small: Any, height: int, width: int, contrast: int) -> Any:
    """Mask of the pixels to filter again at full size: 3×3 blocks at edges of the small image.

    An edge is a pixel off the border with a squared colour distance of `contrast` or more to one
    of its eight neighbours. OpenCV sets the block of small pixel (x, y) around (2x - 1, 2y + 1).
    """
    wanted = np.zeros((height, width), np.bool_)
    for y in range(1, small.shape[0] - 1):
        for x in range(1, small.shape[1] - 1):
            for neighbour in range(9):
                distance = np.int64(0)
                for channel in range(3):
                    other = np.int64(small[y - 1 + neighbour // 3, x - 1 + neighbour % 3, channel])
                    distance += (other - np.int64(small[y, x, channel])) ** 2
                if distance >= contrast:
                    wanted[2 * y : 2 * y + 3, 2 * x - 2 : 2 * x + 1] = True
                    break
    return wanted


def pyramid_mean_shift(image: NDArray[np.uint8], spatial_radius: int, color_radius: int) -> NDArray[np.uint8]:
    """Filter as `cv2.pyrMeanShiftFiltering(image, spatial_radius, color_radius, maxLevel=1)` does.

    `image` is C-contiguous H×W×3 uint8 and stays as it is; the spatial radius is at most 126, the
    colour radius at most 255. Releases the GIL; uses one thread, apart from OpenCV's own.
    """
    height, width = image.shape[:2]
    square = color_radius**2
    half = np.asarray(cv2.pyrDown(image, dstsize=((width + 1) // 2, (height + 1) // 2)), np.uint8)
    everywhere = np.ones(half.shape[:2], np.bool_)
    small = np.empty_like(half)
    _filter(half, everywhere, max(spatial_radius / 2, 1.0), square + 1, small)
    result = np.asarray(cv2.pyrUp(small, dstsize=(width, height)), np.uint8)
    wanted = _near_edges(small, height, width, max(square, 16))
    _filter(image, wanted, max(float(spatial_radius), 1.0), square + 1, result)
    return result
