"""From a model to the program of all its paths.

`fxnas.trace` is the front door. Runs are recorded (`runs`, `recorder`), merged into one program (`merge`, with `align`
and `learn`), and written down as an fx graph (`build`).
"""
