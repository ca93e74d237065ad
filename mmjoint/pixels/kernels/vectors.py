"""Building blocks of the loops: 16-bit fixed-point arithmetic on vectors of pixels.

They are written in LLVM's own language for two reasons: LLVM's vectorizer turns products of pixels
and weights into 32-bit arithmetic, which is half as fast, and it does not recognize a transposition
of bytes. They are portable: LLVM splits the vectors into what the CPU has. Arrays are flat, uint8
or uint16 (weights also float32); indices are uint64; nothing checks bounds.

Functions named ``build`` run at compile time and emit the instructions.
"""

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 32  # pixels per vector
TILE = 16  # side in bytes of the tile that is transposed at once

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_BYTES, _WORDS, _INTS = (ir.VectorType(kind, LANES) for kind in (_I8, _I16, _I32))
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_u64 = types.uint64


def _call(builder: ir.IRBuilder, name: str, *args: ir.Value) -> ir.Value:
    """Call an LLVM intrinsic on 16-bit numbers or vectors of them."""
    kind = args[0].type
    suffix = f'v{kind.count}i16' if isinstance(kind, ir.VectorType) else 'i16'
    signature = ir.FunctionType(kind, [arg.type for arg in args])
    function = cgutils.get_or_insert_function(builder.module, signature, f'llvm.{name}.{suffix}')
    return builder.call(function, args)


def _mulhi(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return _call(builder, 'umul.fix', a, b, ir.Constant(_I32, 16))


def _scalar(build: Callable) -> Callable:
    @intrinsic
    def operation(typing, a, b):
        def generate(context, builder, signature, args):
            return build(builder, *args)

        return types.uint16(types.uint16, types.uint16), generate

    return operation


# These take two uint16 and return uint16. mulhi is the upper half of the product (a * b >> 16),
# add_sat and sub_sat saturate at 65535 and 0, add and sub wrap around, lshr and shl shift a by b
# bits, umin is the minimum. LLVM vectorizes loops of these well, while numba's own operators widen
# to 64 bits.
mulhi = _scalar(_mulhi)
add_sat = _scalar(lambda builder, a, b: _call(builder, 'uadd.sat', a, b))
sub_sat = _scalar(lambda builder, a, b: _call(builder, 'usub.sat', a, b))
add = _scalar(lambda builder, a, b: builder.add(a, b))
sub = _scalar(lambda builder, a, b: builder.sub(a, b))
lshr = _scalar(lambda builder, a, b: builder.lshr(a, b))
shl = _scalar(lambda builder, a, b: builder.shl(a, b))
umin = _scalar(lambda builder, a, b: _call(builder, 'umin', a, b))


def _data(context, builder, kind, array) -> ir.Value:
    return context.make_array(kind)(context, builder, array).data


def _pointer(builder, data, index, kind) -> ir.Value:
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _repeat(builder: ir.IRBuilder, value: ir.Value | int) -> ir.Value:
    """Return a vector whose elements all equal one number or one 16-bit constant."""
    if isinstance(value, int):
        return ir.Constant(_WORDS, [value] * LANES)
    nothing = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_INTS, [0] * LANES))


@intrinsic
def transpose_tile(typing, src, start, step, dst, to, dst_step):
    """Transpose 16 x 16 bytes: ``dst[to + j * dst_step + i] = src[start + i * step + j]``."""

    def build(context, builder, signature, args):
        src, start, step, dst, to, dst_step = args
        kinds = signature.args
        src = _data(context, builder, kinds[0], src)
        dst = _data(context, builder, kinds[3], dst)
        row = ir.VectorType(_I8, TILE)

        def pointer(data, first, step, i):
            return _pointer(
                builder, data, builder.add(first, builder.mul(step, ir.Constant(_I64, i))), row
            )

        rows = [builder.load(pointer(src, start, step, i), align=1) for i in range(TILE)]
        # Interleaving rows that are 8 apart, four times over, is a transposition.
        halves = [
            ir.Constant(
                ir.VectorType(_I32, TILE),
                [half + i // 2 + TILE * (i % 2) for i in range(TILE)],
            )
            for half in (0, TILE // 2)
        ]
        for _ in range(4):
            rows = [
                builder.shuffle_vector(rows[i], rows[i + TILE // 2], half)
                for i in range(TILE // 2)
                for half in halves
            ]
        for i, vector in enumerate(rows):
            builder.store(vector, pointer(dst, to, dst_step, i), align=1)
        return context.get_dummy_value()

    return types.void(src, _u64, _u64, dst, _u64, _u64), build


def _rounding(builder: ir.IRBuilder, count: ir.Value) -> ir.Value:
    """Return the uint16 that compensates for the rounding of ``count`` products in a sum.

    Cutting off the lower half of a product loses half a unit on average. The sum is cut off as
    well, so half a unit less is added, but at least one unit, so that ties are rounded up.
    """
    one = ir.Constant(_I64, 1)
    half = builder.trunc(builder.lshr(builder.sub(count, one), one), _I16)
    return _call(builder, 'umax', half, ir.Constant(_I16, 1))


class _FixedPoint:
    """Sums are uint16 with 8 fraction bits; weights in [0, 1) are uint16 in units of 1 / 65536.

    The result is rounded to the nearest level.
    """

    @staticmethod
    def start(builder: ir.IRBuilder, count: ir.Value) -> ir.Value:
        return builder.add(_repeat(builder, 128), _repeat(builder, _rounding(builder, count)))

    @staticmethod
    def add_product(builder, total, pixels, weight) -> ir.Value:
        pixels = builder.shl(builder.zext(pixels, _WORDS), _repeat(builder, 8))
        return builder.add(total, _mulhi(builder, pixels, weight))

    @staticmethod
    def level(builder, total) -> ir.Value:
        return builder.trunc(builder.lshr(total, _repeat(builder, 8)), _BYTES)


class _Float:
    """Sums are float32, saturated at 0 and 255, then rounded; weights are float32 of any sign."""

    @staticmethod
    def start(builder: ir.IRBuilder, count: ir.Value) -> ir.Value:
        return ir.Constant(_FLOATS, [0.5] * LANES)

    @staticmethod
    def add_product(builder, total, pixels, weight) -> ir.Value:
        pixels = builder.sitofp(builder.zext(pixels, _INTS), _FLOATS)
        product = builder.fmul(pixels, weight, flags=('contract',))
        return builder.fadd(total, product, flags=('contract',))

    @staticmethod
    def level(builder, total) -> ir.Value:
        least, most = (ir.Constant(_FLOATS, [level] * LANES) for level in (0.0, 255.0))
        total = builder.select(builder.fcmp_ordered('<', total, least), least, total)
        total = builder.select(builder.fcmp_ordered('>', total, most), most, total)
        return builder.trunc(builder.fptosi(total, _INTS), _BYTES)


def _weigh(vectors: int, kind: type) -> Callable:
    """Make ``weigh(src, start, step, weights, first, count, dst, to)``.

    For i < vectors * LANES: ``dst[to + i]`` becomes the sum over k < count of ``weights[first + k]
    * src[start + k * step + i]``, rounded.
    """

    @intrinsic
    def weigh(typing, src, start, step, weights, first, count, dst, to):
        def build(context, builder, signature, args):
            src, start, step, weights, first, count, dst, to = args
            kinds = signature.args
            src = _data(context, builder, kinds[0], src)
            weights = _data(context, builder, kinds[3], weights)
            dst = _data(context, builder, kinds[6], dst)
            zero = kind.start(builder, count)
            sums = [cgutils.alloca_once_value(builder, zero) for _ in range(vectors)]
            with cgutils.for_range(builder, count, intp=_I64) as loop:
                at = builder.add(start, builder.mul(step, loop.index))
                weight = builder.load(builder.gep(weights, [builder.add(first, loop.index)]))
                weight = _repeat(builder, weight)
                for v, total in enumerate(sums):
                    place = builder.add(at, ir.Constant(_I64, LANES * v))
                    pixels = builder.load(_pointer(builder, src, place, _BYTES), align=1)
                    value = kind.add_product(builder, builder.load(total), pixels, weight)
                    builder.store(value, total)
            for v, total in enumerate(sums):
                place = builder.add(to, ir.Constant(_I64, LANES * v))
                level = kind.level(builder, builder.load(total))
                builder.store(level, _pointer(builder, dst, place, _BYTES), align=1)
            return context.get_dummy_value()

        return types.void(src, _u64, _u64, weights, _u64, _u64, dst, _u64), build

    return weigh


weigh_1, weigh_3, weigh_4 = (_weigh(vectors, _FixedPoint) for vectors in (1, 3, 4))
weigh_float_1, weigh_float_3 = (_weigh(vectors, _Float) for vectors in (1, 3))


def _weigh_pairs(vectors: int, last: bool) -> Callable:
    """Make ``weigh_pairs(src, center, step, weights, count, dst, to)``, for symmetric filters.

    For i < vectors * LANES: ``dst[to + i]`` becomes ``weights[0] * src[center + i]`` plus, for
    0 < k < count, ``weights[k] * (src[center - k * step + i] + src[center + k * step + i])``.
    ``src`` is uint16, pixels in units of 1 / 128, weights in units of 1 / 65536. ``dst`` has the
    type of ``src``, or is uint8 and rounded if ``last``.
    """

    @intrinsic
    def weigh_pairs(typing, src, center, step, weights, count, dst, to):
        def build(context, builder, signature, args):
            src, center, step, weights, count, dst, to = args
            kinds = signature.args
            src = _data(context, builder, kinds[0], src)
            weights = _data(context, builder, kinds[3], weights)
            dst = _data(context, builder, kinds[5], dst)
            rounding = builder.add(_rounding(builder, count), ir.Constant(_I16, 64 if last else 0))

            def pixels(place, v):
                place = builder.add(place, ir.Constant(_I64, LANES * v))
                return builder.load(_pointer(builder, src, place, _WORDS), align=2)

            weight = _repeat(builder, builder.load(weights))
            sums = []
            for v in range(vectors):
                total = builder.add(
                    _repeat(builder, rounding), _mulhi(builder, pixels(center, v), weight)
                )
                sums.append(cgutils.alloca_once_value(builder, total))
            one = ir.Constant(_I64, 1)
            with cgutils.for_range_slice(builder, one, count, one, intp=_I64) as (k, _):
                weight = _repeat(builder, builder.load(builder.gep(weights, [k])))
                reach = builder.mul(step, k)
                before, after = builder.sub(center, reach), builder.add(center, reach)
                for v in range(vectors):
                    pair = builder.add(pixels(before, v), pixels(after, v))
                    total = builder.add(builder.load(sums[v]), _mulhi(builder, pair, weight))
                    builder.store(total, sums[v])
            kind = _BYTES if last else _WORDS
            for v in range(vectors):
                total = builder.load(sums[v])
                if last:
                    total = builder.trunc(builder.lshr(total, _repeat(builder, 7)), kind)
                place = builder.add(to, ir.Constant(_I64, LANES * v))
                builder.store(total, _pointer(builder, dst, place, kind), align=1 if last else 2)
            return context.get_dummy_value()

        return types.void(src, _u64, _u64, weights, _u64, dst, _u64), build

    return weigh_pairs


weigh_pairs_1, weigh_pairs_4 = (_weigh_pairs(vectors, last=False) for vectors in (1, 4))
weigh_pairs_last_1, weigh_pairs_last_4 = (_weigh_pairs(vectors, last=True) for vectors in (1, 4))
