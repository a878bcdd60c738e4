"""How many architectures there are, exactly, and numbering them."""
