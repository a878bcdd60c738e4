"""The durable record of a search. Free of torch."""

from fxnas.study.study import Study

__all__ = ["Study"]
