"""Tests of biasmask.metrics; a package, so that they share frames and their names can't clash with other folders."""
