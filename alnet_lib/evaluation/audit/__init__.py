"""The cohort looked at before anything trains: composition, images, shortcut baselines."""
