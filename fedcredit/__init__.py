"""fedcredit: credit models over departments that cannot show each other a row."""

__version__ = "0.1.0"
