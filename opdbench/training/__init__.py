"""The method-blind trainer: trajectories, scores, terms and one loop."""
