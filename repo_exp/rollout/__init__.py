"""Engines that let a policy speak."""
