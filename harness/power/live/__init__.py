"""Detection power on real services: the zoo planted in running stacks, and quick drills without a defect.

    plant      what a defect replaces in a stack, and what must be said of it
    targets, stores, holds
               wrong databases to restore into, wrong stores, and wrong holds of the harness on its world
    zoo        the table of defects; most are the very classes of the simulator's zoo
    archiver   the archiver's process with one of them in it
    bench      one stack with one defect, on which plans are run and judged
    trials     one trial, one near miss, one batch of drills without a defect
    measure    all of them in rounds, stored as they come

A stack for each trial in which any service is wrong: what a wrong archiver left in a bucket counts for
nobody else. Wrong restorers share one.
"""
