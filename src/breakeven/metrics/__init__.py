"""How answers are judged: outcomes, metrics, calibration, and intervals that are paired over candidates."""
