"""The proof that nothing is lost: real processes, real faults, and an report at the end."""
