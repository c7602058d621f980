"""Detection power: campaigns against planted defects, so that *proven* is worth a number.

    benches   where drills are run: the simulator
    draws     the plans of a trial, each drawn once and kept
    trials    one trial, one batch of plans without a defect, one plan made small
    work      all of them in order, over the cores, and what is done already
    measure   what the command does, from its options to its files
    live      the same on real services, with a zoo of its own

Nothing else here knows a defect by name: the zoo is ``harness.simulate.defects``.
"""
