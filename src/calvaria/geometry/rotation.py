"""Rotations that are bit-identical on every machine."""

Row = tuple[float, float, float]


def rotation_of_half_tangents(a: float, b: float, c: float) -> tuple[Row, Row, Row]:
    """Return the rotation about (a, b, c) by twice the arc tangent of its length.

    It is that of the normalised quaternion (1, a, b, c), by sums, products and quotients alone, which are
    rounded the same everywhere, unlike sine and cosine. Half angles in radians approximate their tangents.

    Returns:
        The three rows of the matrix.
    """
    n = 1.0 + a * a + b * b + c * c
    return (
        ((1.0 + a * a - b * b - c * c) / n, 2.0 * (a * b - c) / n, 2.0 * (a * c + b) / n),
        (2.0 * (a * b + c) / n, (1.0 - a * a + b * b - c * c) / n, 2.0 * (b * c - a) / n),
        (2.0 * (a * c - b) / n, 2.0 * (b * c + a) / n, (1.0 - a * a - b * b + c * c) / n),
    )
