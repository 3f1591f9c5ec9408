"""A 3-D vector-quantised autoencoder: every position of its latent consists of vectors of a codebook.

Sources: van den Oord et al. 2017, Neural discrete representation learning; Dhariwal et al. 2020, Jukebox
(dead codes are reset to random latents).
"""

import numpy as np
import torch

from calvaria.families.autoencoding import (
    batches,
    fields_of,
    finish,
    new_network,
    reconstruction_loss,
    symmetric_mean,
    validation_error,
)
from calvaria.families.networks.autoencoders import Autoencoder
from calvaria.families.networks.models import train_family
from calvaria.families.vqvae import VqvaeFamily
from calvaria.plugins.family import Context, Model, Population
from calvaria.training.device import fingerprint, prepare_device
from calvaria.training.loop import MicroBatch, Scalars, Training, Update, trainable

FIRST_SKULLS = 8  # skulls whose latents initialise the codes


def training(settings: VqvaeFamily, population: Population, context: Context) -> Training:
    """Return the training of the autoencoder: quantised reconstruction loss plus commitment loss."""
    device = prepare_device(context.compute)
    fields = fields_of(population.masks, settings.representation, context.grid)
    validation = fields_of(population.validation, settings.representation, context.grid)
    network = new_network(
        settings, context, codes=settings.codes, groups=settings.groups, commitment=settings.commitment
    )
    network.start(symmetric_mean(fields), fields)
    network.to(device)
    with torch.inference_mode():
        latents = [network.encode(field[None].to(device))[0] for field in fields[:FIRST_SKULLS]]
        everywhere = torch.ones(settings.codes, dtype=torch.bool)
        network.quantiser.embedding.weight.data.zero_()  # the first are drawn by the norm of latents
        move_codes(network, everywhere, torch.cat(latents), context.generator("codes"))
    batch = batches(fields, settings.optimiser.batch_size, context, device)

    def loss(step: int, turn: int, part: MicroBatch) -> Scalars:
        field = part.of(batch("step", step))
        quantised, commitment, _ = network.quantise(network.encode(field)[0])
        reconstruction = reconstruction_loss(network.decode(quantised), field, settings.representation)
        return {
            "loss": reconstruction + commitment,
            "reconstruction": reconstruction,
            "commitment": commitment,
        }

    def after(step: int) -> Scalars:
        use = code_use(network)
        dead = use < settings.revive_below / settings.codes
        if dead.any():
            with torch.no_grad():
                latents = network.encode(batch("step", step))[0]
            move_codes(network, dead.cpu(), latents, context.generator("revive", step))
        return {"revived": dead.sum(), "perplexity": perplexity(use)}

    return Training(
        networks={"autoencoder": network},
        updates=(Update("autoencoder", trainable(network), loss),),
        averaged=network,
        fingerprint=fingerprint(fields, validation),
        validate=validation_error(network, population, validation, settings.decode_tile, context.compute),
        validation="validation_error",
        after=after,
    )


def code_use(network: Autoencoder) -> torch.Tensor:
    """Return the (codes,) fraction of latents assigned to each code, as a moving average."""
    sizes = network.quantiser.ema_cluster_size
    return sizes / sizes.sum().clamp(min=1e-12)


def perplexity(use: torch.Tensor) -> torch.Tensor:
    """Return the perplexity of the codes: the exponential of the entropy of their use."""
    return (-(use * use.clamp(min=1e-12).log()).sum()).exp()


def move_codes(
    network: Autoencoder, which: torch.Tensor, latents: torch.Tensor, rng: np.random.Generator
) -> None:
    """Move selected codes, (codes,) bool, to distinct latents of (n, c, i, j, k), each with an even share.

    Latents are drawn with a probability proportional to the squared distance from their codes, as in
    k-means++, since most latents are of empty space and nearly equal.
    """
    quantiser, count = network.quantiser, int(which.sum())
    width = quantiser.embedding_dim
    vectors = latents.reshape(-1, width, *latents.shape[2:]).movedim(1, -1).reshape(-1, width)
    distances = torch.cdist(vectors, quantiser.embedding.weight.data).min(1).values.square() + 1e-9
    odds = distances.cpu().double().numpy()
    chosen = vectors[
        torch.from_numpy(rng.choice(len(vectors), size=count, replace=False, p=odds / odds.sum()))
    ]
    places = which.nonzero()[:, 0]
    share = quantiser.ema_cluster_size.sum() / len(which)
    share = share if share > 0 else torch.ones_like(share)
    quantiser.ema_cluster_size[places] = share
    quantiser.ema_w[places] = chosen * share
    quantiser.embedding.weight.data[places] = chosen


def fit(settings: VqvaeFamily, population: Population, context: Context) -> Model:
    """Train the autoencoder and return its model (``autoencoding.finish``), with the use of its codes."""
    trained = training(settings, population, context)
    position = train_family(trained, settings.optimiser, context)
    network: Autoencoder = trained.averaged  # type: ignore[assignment]
    use = code_use(network)
    record = {
        "best_step": position.best_step,
        "validation_error": position.best,
        "codes": {
            "perplexity": round(float(perplexity(use)), 2),
            "dead": int((use < settings.revive_below / settings.codes).sum()),
        },
    }
    return finish(network, settings, population, context, record)
