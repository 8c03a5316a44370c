"""Which good readings the triggers of a run refuse, for as long as they are there."""

# One value in so many.
EVERY = 97


def is_refused(value):
    """As the triggers have it: values are eighths."""
    return int(value * 8) % EVERY == 0


CONDITION = f"(NEW.value * 8)::bigint % {EVERY} = 0"
