"""A study as one page that needs nothing else: no server, no network. Free of torch."""
