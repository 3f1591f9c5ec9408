"""A 3-D vector-quantised autoencoder: every position of its latent consists of vectors of a codebook.

Sources: van den Oord et al. 2017, Neural discrete representation learning; Dhariwal et al. 2020, Jukebox
(dead codes are reset to random latents).
"""

from functools import partial

import numpy as np
import torch

from calvaria.families.autoencoding import (
    batches,
    finish,
    new_network,
    rebuilt,
    reconstruction_loss,
    symmetric_mean,
    validation_error,
)
from calvaria.families.networks.autoencoders import Autoencoder
from calvaria.families.networks.models import train_family
from calvaria.families.skull_space import EncodedPopulation
from calvaria.families.vqvae import VqvaeFamily
from calvaria.plugins.family import Context, Model, Population
from calvaria.training.device import fingerprint, prepare_device
from calvaria.training.loop import MicroBatch, Scalars, Training, Update, trainable

FIRST_SKULLS = 8  # skulls whose latents initialise the codes


def training(settings: VqvaeFamily, skulls: EncodedPopulation, context: Context) -> Training:
    """Return the training of the autoencoder: quantised reconstruction loss plus commitment loss."""
    device = prepare_device(context.compute)
    fields = skulls.fields
    network = new_network(
        settings, context, codes=settings.codes, groups=settings.groups, commitment=settings.commitment
    )
    network.start(symmetric_mean(fields), fields)
    network.to(device)
    with torch.inference_mode():
        latents = [network.encode(field[None].to(device))[0] for field in fields[:FIRST_SKULLS]]
        everywhere = torch.ones(settings.codes, dtype=torch.bool)
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

    reconstruct = partial(rebuilt, network, tile=settings.decode_tile, compute=context.compute)
    return Training(
        networks={"autoencoder": network},
        updates=(Update("autoencoder", trainable(network), loss),),
        averaged=network,
        fingerprint=fingerprint(fields, skulls.validation),
        validate=validation_error(reconstruct, skulls),
        validation="validation_error",
        after=after,
    )


def code_use(network: Autoencoder) -> torch.Tensor:
    """Return the (codes,) fraction of latents assigned to each code, as a moving average."""
    assert network.quantiser is not None
    uses = network.quantiser.uses
    return uses / uses.sum().clamp(min=1e-12)


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
    assert quantiser is not None
    width = quantiser.codes.shape[1]
    vectors = latents.reshape(-1, width, *latents.shape[2:]).movedim(1, -1).reshape(-1, width)
    distances = (vectors - quantiser.codes[quantiser.nearest(vectors)]).square().sum(1) + 1e-9
    odds = distances.cpu().double().numpy()
    chosen = vectors[
        torch.from_numpy(rng.choice(len(vectors), size=count, replace=False, p=odds / odds.sum()))
    ]
    places = which.nonzero()[:, 0]
    share = quantiser.uses.sum() / len(which)
    share = share if share > 0 else torch.ones_like(share)
    quantiser.uses[places] = share
    quantiser.sums[places] = chosen * share
    quantiser.codes[places] = chosen


def fit(settings: VqvaeFamily, population: Population, context: Context) -> Model:
    """Train the autoencoder and return its model (``autoencoding.finish``), with the use of its codes."""
    skulls = EncodedPopulation.of(population, settings.representation, context.grid)
    trained = training(settings, skulls, context)
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
    return finish(network, settings, skulls, context, record)
