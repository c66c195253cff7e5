"""What a modeller calls: the same call at every party, each on its own columns."""

from fedcredit.estimators.binning import Binning
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.gradient_boosting import GradientBoosting
from fedcredit.estimators.horizontal_boosting import HorizontalGradientBoosting
from fedcredit.estimators.horizontal_logistic import HorizontalLogisticRegression
from fedcredit.estimators.horizontal_statistics import HorizontalStatistics
from fedcredit.estimators.logistic import LogisticRegression
from fedcredit.estimators.mixed_frame import BankRows
from fedcredit.estimators.mixed_scorecard import MixedScorecard
from fedcredit.estimators.scorecard import HeldOut, Scorecard
from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.estimators.statistics import Statistics

__all__ = [
    "BankRows",
    "Binning",
    "CardPart",
    "Federation",
    "GradientBoosting",
    "HeldOut",
    "HorizontalGradientBoosting",
    "HorizontalLogisticRegression",
    "HorizontalStatistics",
    "LogisticRegression",
    "MixedScorecard",
    "Scorecard",
    "Statistics",
]
