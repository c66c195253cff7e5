"""What each party's columns mean: the data dictionary, and how a column is written.

Values are float64 in memory, NaN where missing; a category is the position of its level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from fedcredit.synth.population import INDUSTRIES

__all__ = ["FIELDS", "HOLDERS", "Field"]


@dataclass(frozen=True, slots=True)
class Field:
    """One column: name, how it is written, its unit, and what it says in English and Chinese."""

    name: str
    kind: Literal["whole", "ratio", "flag", "category"]
    unit: str
    english: str
    chinese: str
    levels: tuple[str, ...] = ()


HOLDERS: Final = {
    "bank": ("access institution, holds the label", "银行（接入机构，标签方）"),
    "tax": ("tax bureau", "税务局"),
    "social_insurance": ("social insurance administration", "社会保险经办机构"),
    "housing_fund": ("housing fund centre", "住房公积金管理中心"),
    "electricity": ("electricity utility", "供电公司"),
}

FIELDS: Final[dict[str, tuple[Field, ...]]] = {
    "bank": (
        Field("default_12m", "flag", "0/1", "90 days past due within 12 months of observation", "十二个月内逾期九十天"),
        Field("observation_month", "whole", "YYYYMM", "month of observation; not a feature", "观察月份（不入模）"),
        Field("industry", "category", "", "industry of the borrower", "行业", INDUSTRIES),
        Field("firm_age_years", "ratio", "years", "years since registration", "成立年限"),
        Field("stated_employees", "whole", "persons", "employees, as the borrower states", "申报员工人数"),
        Field("stated_revenue", "whole", "10,000 yuan a year", "revenue, as the borrower states", "申报年营业收入"),
        Field("loan_amount", "whole", "10,000 yuan", "amount of the loan", "贷款金额"),
        Field("term_months", "whole", "months", "term of the loan", "贷款期限"),
        Field("interest_rate", "ratio", "% a year", "interest rate", "年利率"),
        Field(
            "collateral",
            "category",
            "",
            "security of the loan",
            "担保方式",
            ("credit", "guarantee", "mortgage", "pledge"),
        ),
        Field("relationship_years", "ratio", "years", "years as a customer", "客户关系年限"),
        Field("average_balance", "whole", "yuan", "average account balance, 6 months", "近六个月日均余额"),
        Field("late_payments_24m", "whole", "times", "late payments, 24 months", "近二十四个月逾期次数"),
        Field("other_lenders", "whole", "lenders", "lenders besides this one", "其他授信机构数"),
    ),
    "tax": (
        Field("tax_grade", "category", "", "tax credit grade", "纳税信用等级", ("A", "B", "M", "C", "D")),
        Field("abnormal_taxpayer", "flag", "0/1", "listed as an abnormal taxpayer", "非正常户"),
        Field("in_arrears", "flag", "0/1", "tax in arrears now", "当前是否欠税"),
        Field("arrears_amount", "whole", "yuan", "tax in arrears", "欠税余额"),
        Field("vat_payable_12m", "whole", "yuan", "value-added tax payable, 12 months", "近十二个月增值税应纳税额"),
        Field("vat_paid_12m", "whole", "yuan", "value-added tax paid, 12 months", "近十二个月增值税实缴额"),
        Field("vat_paid_ratio", "ratio", "", "paid over payable; missing where none is due", "增值税实缴比例"),
        Field("cit_payable_12m", "whole", "yuan", "income tax payable, 12 months", "近十二个月企业所得税应纳税额"),
        Field("cit_paid_12m", "whole", "yuan", "income tax paid, 12 months", "近十二个月企业所得税实缴额"),
        Field("continuous_months", "whole", "months", "months of normal payment up to now", "连续正常纳税月数"),
        Field("days_since_payment", "whole", "days", "days since the last normal payment", "距最近一次正常纳税天数"),
        Field("registered_months", "whole", "months", "months since tax registration", "税务登记月数"),
    ),
    "social_insurance": (
        Field("insured_count", "whole", "persons", "employees insured now", "参保人数"),
        Field(
            "average_insured_12m", "ratio", "persons", "employees insured, 12-month average", "近十二个月平均参保人数"
        ),
        Field("headcount_trend", "ratio", "", "insured now over the 12-month average", "参保人数趋势"),
        Field("continuous_months", "whole", "months", "months of normal contribution up to now", "连续正常缴费月数"),
        Field("in_arrears", "flag", "0/1", "contributions in arrears", "是否欠缴"),
        Field("wage_base", "whole", "yuan a month", "average contribution base", "平均缴费基数"),
        Field("medical_insured_count", "whole", "persons", "employees with medical insurance", "医保参保人数"),
    ),
    "housing_fund": (
        Field("contribution_ratio", "whole", "%", "contribution ratio", "缴存比例"),
        Field("contributors", "whole", "persons", "contributors now", "缴存人数"),
        Field("headcount_trend", "ratio", "", "contributors now over the 12-month average", "缴存人数趋势"),
        Field(
            "continuous_months_12m", "whole", "months", "months of normal contribution, 12 at most", "连续正常缴存月数"
        ),
        Field("days_since_payment", "whole", "days", "days since the last contribution", "距最近一次缴存天数"),
        Field("registered_years", "ratio", "years", "years since the first registration", "开户年限"),
    ),
    "electricity": (
        Field("average_12m", "whole", "yuan a month", "average monthly amount, 12 months", "近十二个月月均电费"),
        Field("average_6m", "whole", "yuan a month", "average monthly amount, 6 months", "近六个月月均电费"),
        Field("average_3m", "whole", "yuan a month", "average monthly amount, 3 months", "近三个月月均电费"),
        Field("trend", "ratio", "", "3-month over 12-month average", "用电趋势"),
        Field("in_arrears", "flag", "0/1", "fees in arrears now", "当前是否欠费"),
        Field("account_years", "ratio", "years", "years since the account was opened", "用电开户年限"),
    ),
}
