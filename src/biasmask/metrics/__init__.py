"""Group rates, gaps, ranking, calibration and their bootstrap intervals."""
