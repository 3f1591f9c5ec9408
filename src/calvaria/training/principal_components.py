"""Principal components from the eigenvectors of the samples' Gram matrix, with fixed signs."""

import torch


def principal_components(rows: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the principal components of samples; efficient for far fewer samples than dimensions.

    Args:
        rows: (n, p) float64 samples with their mean subtracted.
        count: number of components, at most n.

    Returns:
        (count, p) unit vectors, the value of largest magnitude of each positive, and (n,) variances along
        all components, descending; rounding may make the last ones slightly negative.
    """
    variances, vectors = torch.linalg.eigh(rows @ rows.T / len(rows))
    components = vectors.flip(1)[:, :count].T @ rows
    components = components / components.norm(dim=1, keepdim=True).clamp(min=1e-9)
    return with_positive_peaks(components), variances.flip(0)


def with_positive_peaks(rows: torch.Tensor) -> torch.Tensor:
    """Return (n, p) rows, each multiplied by 1 or -1 so that its value of largest magnitude is positive."""
    peaks = rows[torch.arange(len(rows)), rows.abs().argmax(1)]
    return rows * peaks.sign()[:, None]
