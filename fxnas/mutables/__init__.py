"""What the choices of `fxnas.nn` are made of."""
