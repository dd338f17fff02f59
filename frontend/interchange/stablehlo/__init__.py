"""StableHLO's programs: text.py and portable.py read them, evaluate.py runs them. `ingot.stablehlo` has the public names."""
