"""Backbones and the fused embedding: one vector for image, text and place."""
