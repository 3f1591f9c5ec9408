"""Principal components by the eigenvectors of a small matrix, with a rule for their signs."""

import torch


def principal_components(rows: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the principal components of samples, of which there may be far fewer than dimensions.

    Args:
        rows: (n, p) float64 samples, their mean subtracted.
        count: number of components, at most n.

    Returns:
        (count, p) unit vectors, the largest value of each positive, and (n,) variances along all components,
        descending; rounding may leave the last ones below 0.
    """
    variances, vectors = torch.linalg.eigh(rows @ rows.T / len(rows))
    components = vectors.flip(1)[:, :count].T @ rows
    components = components / components.norm(dim=1, keepdim=True).clamp(min=1e-9)
    return with_positive_peaks(components), variances.flip(0)


def with_positive_peaks(rows: torch.Tensor) -> torch.Tensor:
    """Return (n, p) rows, each multiplied by 1 or -1 so that its value of largest magnitude is positive."""
    peaks = rows[torch.arange(len(rows)), rows.abs().argmax(1)]
    return rows * peaks.sign()[:, None]
