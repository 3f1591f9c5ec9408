"""One implant from predictions at several poses.

A pose is known to a degree or two, and a prediction depends on it more than it should: at poses so far apart
the DSC of one implant varied between 0.78 and 0.89. The majority of the predictions scatters less and is
nearer to the truth than most of them.
"""

import numpy as np

from calvaria.geometry.resample import resample
from calvaria.reconstruction.coarse.inference import largest_piece
from calvaria.reconstruction.predictor import Predictor, coarse_probabilities, fine_bone, predict_implant
from calvaria.skull.pose import rotation_about

# Motions of the head in the box, about its middle: turns in degrees about x and y, and shifts in mm along z.
MOTIONS = ((0.0, 0.0, 0.0), (2.0, 0.0, 0.0), (-2.0, 0.0, 0.0), (0.0, 2.0, 1.5), (0.0, -2.0, -1.5))
MIDDLE_MM = (0.0, 0.0, -14.0)  # of the head, in the box


def consensus_implant(
    predictor: Predictor, bone: np.ndarray, affine: np.ndarray, pose: np.ndarray
) -> np.ndarray:
    """Predict the implant at several poses and keep what most of them agree on.

    Args:
        bone: (i, j, k) bool, the remaining bone in the scan.
        affine: (4, 4) the scan's voxel indices to RAS+ millimetres.
        pose: (4, 4) rigid, from these millimetres to the box's.

    Returns:
        (i, j, k) bool on the scan's grid, outside of its bone, one piece by faces; empty if there is none.
    """
    votes = np.zeros(bone.shape, np.uint8)
    for motion in motions():
        votes += implant_at(predictor, bone, affine, motion @ pose)
    return largest_piece(2 * votes > len(MOTIONS), connectivity=6)


def implant_at(predictor: Predictor, bone: np.ndarray, affine: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """The implant that is predicted at one pose; arguments and result as of ``consensus_implant``."""
    case = resample(bone.view(np.uint8), affine, pose, predictor.grid)
    probability = coarse_probabilities(predictor, case[None])[0]
    fine = fine_bone(predictor, bone, affine, pose)
    return predict_implant(predictor, case, probability, fine, bone, affine, pose).own


def motions() -> list[np.ndarray]:
    """(4, 4) rigid motions of the box, of which the first leaves everything where it is."""
    found = []
    for pitch_deg, roll_deg, shift_mm in MOTIONS:
        matrix = np.eye(4)
        matrix[:3, :3] = rotation_about(np.deg2rad([pitch_deg, roll_deg, 0.0]))
        matrix[:3, 3] = MIDDLE_MM - matrix[:3, :3] @ MIDDLE_MM + [0.0, 0.0, shift_mm]
        found.append(matrix)
    return found
