"""An in-memory stack on a virtual clock, and the planted defects. Never what a user's drill runs on."""
