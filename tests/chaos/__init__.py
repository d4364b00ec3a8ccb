"""The proof that nothing is lost: real processes, real faults, and an account at the end."""
