"""Where the work runs: in this process, in several processes of this machine, or on a Ray cluster.

An engine opens the model in its workers, and stands in for the model where a run is planned. Only
the process that planned writes replies; workers may die at any moment without losing or doubling
one.
"""

from __future__ import annotations

from mmdbench.run.engines.worker import Crew, CrewReport, is_crew

__all__ = ["Crew", "CrewReport", "is_crew"]
