"""Stages, the artefact store, the run folder and loading a run."""
