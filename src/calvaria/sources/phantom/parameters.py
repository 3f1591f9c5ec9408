"""The anatomical parameters of a phantom, and how they vary in the adult population."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Phantom:
    """All parameters of one skull; millimetres unless stated otherwise."""

    # Size of the head relative to the mean skull, one factor per axis.
    width: float
    length: float
    height: float
    # Outline of the braincase, offsets to the mean.
    frontal_breadth: float
    parietal_breadth: float
    vertex_height: float
    forehead_slope: float
    occipital_bulge: float
    shape_waves: tuple[float, ...]
    temporal_hollow: float
    # Bone.
    thickness: float
    frontal_thickening: float
    occipital_thickening: float
    thickness_waves: tuple[float, ...]
    impression_depth: float
    # Features; size factors and offsets.
    brow: float
    orbit_size: float
    zygoma_flare: float
    mastoid_size: float
    protuberance: float
    foramen_size: float
    # Asymmetry, dimensionless: skew of one side against the other.
    side_breadth: float
    side_advance: float
    side_drop: float
    midline_bend: float
    # Pose in the scanner, and the lower limit of its field of view.
    pitch_deg: float
    roll_deg: float
    yaw_deg: float
    shift_x: float
    shift_y: float
    shift_z: float
    cut_height: float
    cut_slope_x: float
    cut_slope_y: float


def sample_phantom(rng: np.random.Generator) -> Phantom:
    """Draw one skull of the adult population."""

    def draw(mean: float, spread: float) -> float:
        # Sum of three uniforms: nearly a normal of sd ``spread``, cut off at 3 sd, without exp or log.
        return round(mean + 2.0 * spread * (rng.random() + rng.random() + rng.random() - 1.5), 4)

    def waves(spread: float) -> tuple[float, ...]:
        return tuple(draw(0.0, spread) for _ in range(12))

    size = draw(0.985, 0.024)
    elongation = draw(0.008, 0.018)
    return Phantom(
        width=round(size - elongation, 4),
        length=round(size + 1.5 * elongation, 4),
        height=round(size + draw(0.0, 0.025), 4),
        frontal_breadth=draw(0.0, 1.5),
        parietal_breadth=draw(0.0, 1.0),
        vertex_height=draw(0.0, 1.5),
        forehead_slope=draw(-0.5, 2.5),
        occipital_bulge=draw(0.0, 2.5),
        shape_waves=waves(0.6),
        temporal_hollow=draw(4.0, 0.8),
        thickness=draw(7.1, 1.2),
        frontal_thickening=draw(1.5, 0.8),
        occipital_thickening=draw(3.7, 0.8),
        thickness_waves=waves(0.3),
        impression_depth=draw(0.5, 0.12),
        brow=draw(0.0, 0.8),
        orbit_size=draw(1.0, 0.03),
        zygoma_flare=draw(0.0, 1.2),
        mastoid_size=draw(1.0, 0.08),
        protuberance=draw(1.0, 0.6),
        foramen_size=draw(1.0, 0.05),
        side_breadth=draw(0.0, 0.02),
        side_advance=draw(0.0, 0.02),
        side_drop=draw(0.0, 0.01),
        midline_bend=draw(0.0, 0.01),
        pitch_deg=draw(0.0, 4.0),
        roll_deg=draw(0.0, 1.5),
        yaw_deg=draw(0.0, 2.0),
        shift_x=draw(0.0, 3.0),
        shift_y=draw(0.0, 4.0),
        shift_z=draw(0.0, 4.0),
        cut_height=draw(-36.5, 9.0),
        cut_slope_x=draw(0.0, 0.01),
        cut_slope_y=draw(0.0, 0.06),
    )
