"""What training minimises: three symmetric contrasts and a triplet, over one batch.

Logits and sums are float32 whatever the features are. Photos of one place are no negatives of each
other. The formulas are those of arXiv 2606.08918, named here L_it, L_ig, L_tg and L_triplet.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from geosearch.encoder.model import TransGeoClip
from geosearch.encoder.sphere import chords_to_km, unit_vectors


@dataclass(frozen=True, slots=True)
class LossWeights:
    """How much each term counts; a term of weight 0 is not computed.

    `same_place_km` is the distance below which two photos show one place; 0 leaves each photo a
    place of its own.
    """

    image_text: float = 1.0
    image_location: float = 1.0
    text_location: float = 1.0
    triplet: float = 0.5
    margin: float = 0.5
    same_place_km: float = 0.1


@dataclass(frozen=True, slots=True)
class LossTerms:
    """The weighted sum, which has the gradient, and its terms before weighting, all ()."""

    total: Tensor
    image_text: Tensor
    image_location: Tensor
    text_location: Tensor
    triplet: Tensor


def total_loss(
    model: TransGeoClip,
    image_features: Tensor,
    text_features: Tensor | None,
    lat_lon: Tensor,
    *,
    weights: LossWeights | None = None,
) -> LossTerms:
    """The loss of a batch of photos, their captions and their coordinates.

    Args:
        model: the heads and the location encoder.
        image_features: (n, image_dim).
        text_features: (n, text_dim), or None where there are no captions: their terms are then 0.
        lat_lon: (n, 2) degrees.
        weights: of the terms.
    """
    weights = weights or LossWeights()
    same_place = same_place_mask(lat_lon, weights.same_place_km)
    image_text = image_location = text_location = triplet = lat_lon.new_zeros(()).float()
    has_text = text_features is not None
    asks_triplet = bool(weights.triplet) and has_text
    locations = model.encode_locations(lat_lon)
    # Only the heads that a term asks for: the others would cost a third of the step for nothing.
    if weights.image_location or asks_triplet:
        image_placed = model.image_to_location(image_features)
    if weights.image_location:
        scale = model.logit_scale("image_location")
        image_location = contrastive_loss(image_placed, locations, scale, same_place)
    if text_features is not None and weights.image_text:
        scale = model.logit_scale("image_text")
        image_text = contrastive_loss(
            model.image_to_text(image_features),
            model.text_to_text(text_features),
            scale,
            same_place,
        )
    if text_features is not None and (weights.text_location or asks_triplet):
        text_placed = model.text_to_location(text_features)
        if weights.text_location:
            scale = model.logit_scale("text_location")
            text_location = contrastive_loss(text_placed, locations, scale, same_place)
        if asks_triplet:
            triplet = triplet_loss(
                text_placed, locations, image_placed, same_place, margin=weights.margin
            )
    total = (
        weights.image_text * image_text
        + weights.image_location * image_location
        + weights.text_location * text_location
        + weights.triplet * triplet
    )
    return LossTerms(total, image_text, image_location, text_location, triplet)


def contrastive_loss(
    features: Tensor, other_features: Tensor, logit_scale: Tensor, same_place: Tensor
) -> Tensor:
    """Symmetric InfoNCE: L_it, L_ig or L_tg, by which two modalities it is given.

    For a batch of pairs (a_i, b_i) with temperature τ = 1 / logit_scale, the mean of
    −log exp(a_i·b_i/τ) / Σ_j exp(a_i·b_j/τ) over i, averaged with the same from b to a. Sums over
    j leave out those at the place of i, except i itself.

    Args:
        features: (n, d), L2-normalised.
        other_features: (n, d), L2-normalised, row by row the partners.
        logit_scale: () factor on the cosines.
        same_place: (n, n) bool, as from `same_place_mask`.

    Returns:
        () float32.

    Source: arXiv 2606.08918; the mask is ours.
    """
    with torch.autocast(features.device.type, enabled=False):
        logits = logit_scale.float() * (features.float() @ other_features.float().T)  # (n, n)
    logits = logits.masked_fill(same_place, -torch.inf)
    partners = torch.arange(len(logits), device=logits.device)
    forth = functional.cross_entropy(logits, partners)
    back = functional.cross_entropy(logits.T, partners)
    return (forth + back) / 2.0


def triplet_loss(
    text_features: Tensor,
    location_features: Tensor,
    image_features: Tensor,
    same_place: Tensor,
    *,
    margin: float = 0.5,
) -> Tensor:
    """L_triplet: a caption is nearer to its coordinate than to the hardest image from elsewhere.

    Mean over i of max(0, margin + max_j t_i·v_j − t_i·g_i), where j runs over the images that are
    neither i's nor of its place; 0 for an i that has none.

    Args:
        text_features: (n, d) anchors t, L2-normalised, in the space of locations like the others.
        location_features: (n, d) positives g, L2-normalised.
        image_features: (n, d) candidates v for the negative, L2-normalised.
        same_place: (n, n) bool, as from `same_place_mask`.
        margin: by how much, in cosine.

    Returns:
        () float32.

    Source: arXiv 2606.08918. All three are location-aligned here; the released draft compares
    text-aligned images, cut at 512 numbers, with location-aligned texts.
    """
    with torch.autocast(text_features.device.type, enabled=False):
        texts = text_features.float()
        positive = (texts * location_features.float()).sum(dim=1)  # (n,)
        cosines = texts @ image_features.float().T  # (n, n)
    itself = torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    # Of -inf the hinge below is exactly 0, and so is its gradient.
    hardest = cosines.masked_fill(same_place | itself, -torch.inf).amax(dim=1)  # (n,)
    return (margin + hardest - positive).clamp(min=0.0).mean()


def same_place_mask(lat_lon: Tensor, radius_km: float) -> Tensor:
    """Which other photos were taken nearer than `radius_km`: (n, 2) degrees to (n, n) bool.

    The diagonal is False: a photo is its own positive.
    """
    vectors = unit_vectors(lat_lon)  # (n, 3)
    # By differences: dot products in float32 cannot tell a kilometre from nothing.
    chords = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")  # (n, n)
    near = chords_to_km(chords) < radius_km
    return near.fill_diagonal_(False)
