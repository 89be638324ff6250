"""How far the workers are, now and lately, and what they rejected."""
