"""The augmentation families: the settings of each and its computations.

==================  ===========================================================================
real                the training skulls themselves
registration        ANTs SyN, pairwise or through a template; a sample is a warped skull
ssm                 statistical deformation model of a template's fields
vae                 3-D KL autoencoder, sampled from a Gaussian fitted to its latents
vqvae               3-D vector-quantised autoencoder, sampled in the same way
wgan                volumetric WGAN-GP
introvae            soft introspective VAE, sampled from its prior
ldm                 latent diffusion over the latents of an autoencoder family
network_family      base of families that train a network
autoencoder_family  base of vae and vqvae; ``autoencoding`` has their computations
run_context         the context of a family in a run
==================  ===========================================================================

The interface is ``calvaria.plugins.family.Family``. A family's class is imported whenever a config is read;
code with heavy imports (torch, ANTs) is in other modules of its folder, which its methods import.
"""
