"""StableHLO's programs: text.py and portable.py read them, evaluate.py runs, export.py writes them. `ingot.stablehlo` has the names."""
