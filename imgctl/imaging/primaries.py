"""From linear light of other primaries to that of sRGB's (SMPTE RP 177; whites adapted by Bradford's matrix)."""

Point = tuple[float, float]
Chromaticities = tuple[Point, Point, Point, Point]
"""Red, green, blue and white in CIE x and y."""
Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

SRGB: Chromaticities = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), (0.3127, 0.3290))
_BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


def to_srgb_matrix(primaries: Chromaticities) -> Matrix:
    """What linear red, green and blue are multiplied by."""
    seen, wanted = (_times(_BRADFORD, _tristimulus(one[3])) for one in (primaries, SRGB))
    gain: Matrix = ((wanted[0] / seen[0], 0, 0), (0, wanted[1] / seen[1], 0), (0, 0, wanted[2] / seen[2]))
    adapted = _product(_inverse(_BRADFORD), _product(gain, _product(_BRADFORD, _to_xyz(primaries))))
    return _product(_inverse(_to_xyz(SRGB)), adapted)


def _to_xyz(primaries: Chromaticities) -> Matrix:
    red, green, blue, white = (_tristimulus(point) for point in primaries)
    columns = _transposed((red, green, blue))
    scale = _times(_inverse(columns), white)
    return _product(columns, ((scale[0], 0, 0), (0, scale[1], 0), (0, 0, scale[2])))


def _tristimulus(point: Point) -> Vector:
    x, y = point
    return x / y, 1.0, (1 - x - y) / y


def _times(matrix: Matrix, vector: Vector) -> Vector:
    first, second, third = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return first, second, third


def _transposed(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    return (a, d, g), (b, e, h), (c, f, i)


def _product(left: Matrix, right: Matrix) -> Matrix:
    first, second, third = (_times(left, column) for column in _transposed(right))
    return _transposed((first, second, third))


def _inverse(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    size = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return (
        ((e * i - f * h) / size, (c * h - b * i) / size, (b * f - c * e) / size),
        ((f * g - d * i) / size, (a * i - c * g) / size, (c * d - a * f) / size),
        ((d * h - e * g) / size, (b * g - a * h) / size, (a * e - b * d) / size),
    )
