"""What a modeller calls: the same call at every party, each on its own columns."""

from fedcredit.estimators.binning import Binning
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.gradient_boosting import GradientBoosting

__all__ = ["Binning", "Federation", "GradientBoosting"]
