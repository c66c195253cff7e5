"""Of every predicate that comes with the package: records that make it true, false and unknown, from its words.

The day is 30 June 2025. A case is the parameters, then records for yes, no and unknown: a list is of the predicate's
own item, a dictionary of several. `ONLY_IF_COMPLETE` instead of records for no: without a record the answer is no where
the department says that its register is complete, and there is no other way to no.
"""

from __future__ import annotations

from datetime import date
from typing import Any

ASOF = date(2025, 6, 30)
SUBJECT, SUBJECT_NAME, INSTITUTION = "S", "Subject Ltd", "B"
ONLY_IF_COMPLETE = "only if complete"

R = list[dict[str, Any]]


def d(text: str) -> date:
    return date.fromisoformat(text)


def case(yes: Any, no: Any, unknown: Any = None, **parameters: Any) -> tuple[dict[str, Any], Any, Any, Any]:
    return parameters, yes, no, [] if unknown is None else unknown


def field(name: str, yes: Any, no: Any, **parameters: Any) -> tuple[dict[str, Any], Any, Any, Any]:
    """A predicate on one field of one record; unknown where the record says nothing."""
    return case([{name: yes}], [{name: no}], [{name: None}], **parameters)


def grades(yes: str, no: str) -> tuple[dict[str, Any], Any, Any, Any]:
    """The grade of the latest year counts, wherever it stands; unknown if two records of that year contradict."""

    def years(last: str, before: str) -> R:
        return [{"rating_year": 2024.0, "tax_grade": last}, {"rating_year": 2023.0, "tax_grade": before}]

    tie = [{"rating_year": 2024.0, "tax_grade": yes}, {"rating_year": 2024.0, "tax_grade": no}]
    return case(years(yes, no), years(no, yes), tie)


def environment(name: str, yes: Any, no: Any, **parameters: Any) -> tuple[dict[str, Any], Any, Any, Any]:
    old, new = d("2022-01-01"), d("2025-01-01")
    return case(
        [{name: no, "evaluation_date": old}, {name: yes, "evaluation_date": new}],
        [{name: no, "evaluation_date": new}, {name: yes, "evaluation_date": old}],
        [{name: yes, "evaluation_date": None}],
        **parameters,
    )


def arrears() -> dict[str, Any]:
    return {
        "no_open_arrears": case([{"repaid": True}], [{"repaid": True}, {"repaid": False}], [{"repaid": None}]),
        "arrears_count": case(
            [{"arrears_start_date": d("2023-06-29")}],
            [{"arrears_start_date": d("2023-06-30")}, {"arrears_start_date": d("2025-06-30")}],
            [{"arrears_start_date": None}],
            n=1.0,
        ),
        "arrears_within": case(
            [{"arrears_amount": 1000.0, "repaid": False}, {"arrears_amount": 9.0, "repaid": True}],
            [{"arrears_amount": 1000.0, "repaid": False}, {"arrears_amount": 9.0, "repaid": False}],
            [{"arrears_amount": None, "repaid": False}],
            x=1000.0,
        ),
    }


def usage(first: str, second: str) -> tuple[dict[str, Any], Any, Any, Any]:
    return case(
        [{first: 3.0, second: 6.0}, {first: 4.0, second: 4.0}],
        [{first: 3.0, second: 6.0}, {first: 3.9, second: 4.0}],
        [{first: 3.0, second: None}],
    )


def lasting(name: str, yes: str, no: str, **parameters: Any) -> tuple[dict[str, Any], Any, Any, Any]:
    return field(name, d(yes), d(no), **parameters)


CERTIFICATE = {"real_estate_certificate_no": "C1", "real_estate_unit_no": "U1", "holder_id_number": SUBJECT}
HELD, OTHERS, UNSAID = ({"holder_id_number": SUBJECT}, {"holder_id_number": "T"}, {"holder_id_number": None})
UNIT, OTHER_UNIT = {"real_estate_unit_no": "U1"}, {"real_estate_unit_no": "U2"}
NO_UNIT: dict[str, Any] = {"real_estate_unit_no": None}
REGISTERED = {"real_estate_registration_no": "R1", "real_estate_unit_no": "U1", "holder_id_number": SUBJECT}
OPEN_ARREARS = field("repaid", False, True)
LIVE = {"guaranteed_id_number": SUBJECT, "liability_start_date": d("2025-01-01"), "liability_release_date": None}
FINED = {"fine_amount": 5.0, "decision_date": d("2024-06-30"), "publicity_end_date": d("2025-06-30")}
CASE = {"case_no": "K1", "closing_method": "撤诉"}
AWARD = {"supplier_uscc": SUBJECT, "project_no": "P1", "contract_amount": 500000.0}
LENDING = {"cause_of_action": "金融借款合同纠纷", "filing_date": d("2024-01-01")}

CASES: dict[str, tuple[dict[str, Any], Any, Any, Any]] = {
    # Tax: a complete register, so unknown takes a record that says nothing.
    "tax_grade_a": grades("A", "B"),
    "tax_grade_a_or_b": grades("B", "M"),
    "tax_grade_not_d": grades("C", "D"),
    "tax_grade_a_n_years": case(
        [{"rating_year": 2024.0, "tax_grade": "A"}, {"rating_year": 2023.0, "tax_grade": "A"}],
        [{"rating_year": 2024.0, "tax_grade": "A"}, {"rating_year": 2022.0, "tax_grade": "A"}],
        [{"rating_year": 2024.0, "tax_grade": None}],
        n=2.0,
    ),
    "tax_on_a_list": case([{}], [], "stale"),
    "tax_abnormal": field("abnormal_taxpayer", True, False),
    "tax_in_arrears": field("currently_in_arrears", True, False),
    "tax_arrears_within": case(
        [{"arrears_amount": 9000.0}, {"arrears_amount": 1000.0}],
        [{"arrears_amount": 9000.0}, {"arrears_amount": 1000.5}],
        [{"arrears_amount": 9000.0}, {"arrears_amount": None}],
        x=10000.0,
    ),
    "tax_vat_in_full": case(
        [{"vat_paid_12m": 99.0, "vat_payable_12m": 100.0}],
        [{"vat_paid_12m": 98.9, "vat_payable_12m": 100.0}],
        # No record of a payment is no answer, in a complete register either: there is no field to look at.
        [],
    ),
    "tax_cit_in_full": case(
        [{"cit_paid_12m": 0.0, "cit_payable_12m": 0.0}],
        [{"cit_paid_12m": 0.0, "cit_payable_12m": 1.0}],
        [{"cit_paid_12m": 1.0, "cit_payable_12m": None}],
    ),
    "tax_continuous_k": field("continuous_normal_months", 12.0, 11.0, k=12.0),
    "tax_recent": lasting("last_normal_payment_date", "2025-03-22", "2025-03-21"),
    "tax_paid_at_least": case(
        [{"vat_paid_12m": 40000.0, "cit_paid_12m": 10000.0}],
        [{"vat_paid_12m": 40000.0, "cit_paid_12m": 9999.0}],
        # Two records where one is meant.
        [{"vat_paid_12m": 40000.0, "cit_paid_12m": 10000.0}] * 2,
        x=50000.0,
    ),
    "tax_major_violation": case([{}], [], "stale"),
    # Insurance.
    "si_enrolled": case([{}], ONLY_IF_COMPLETE),
    "si_continuous_k": field("continuous_normal_months", 24.0, 23.0, k=24.0),
    "si_no_arrears": field("arrears_amount", 0.0, 0.01),
    "si_insured_at_least": field("insured_count", 5.0, 4.0, n=5.0),
    "si_headcount_stable": case(
        [{"insured_count": 8.0, "avg_insured_count_12m": 10.0}],
        [{"insured_count": 7.0, "avg_insured_count_12m": 10.0}],
        [{"insured_count": 7.0}],
    ),
    "mi_enrolled": case([{}], ONLY_IF_COMPLETE),
    # Housing fund.
    "hf_continuous_k": field("continuous_normal_months_12m", 6.0, 5.0, k=6.0),
    "hf_current": lasting("last_normal_payment_date", "2025-04-29", "2025-04-28"),
    "hf_contributors_at_least": field("contributor_count", 100.0, 99.0, n=100.0),
    "hf_headcount_stable": case(
        [{"contributor_count": 80.0, "avg_monthly_contributors_12m": 100.0}],
        [{"contributor_count": 79.0, "avg_monthly_contributors_12m": 100.0}],
    ),
    "hf_ratio_regular": field("contribution_ratio", 12.0, 12.5),
    "hf_registered_years": lasting("first_registration_date", "2022-06-30", "2022-07-01", n=3.0),
    "hf_total_at_least": field("contribution_total_12m", 200000.0, 199999.0, x=200000.0),
    "hl_overdue": field("currently_overdue", True, False),
    # Real property: complete.
    "prop_match": case(
        [CERTIFICATE],
        [{**CERTIFICATE, "real_estate_unit_no": "U2"}, {**CERTIFICATE, "holder_id_number": "T"}],
        [{**CERTIFICATE, "real_estate_certificate_no": None}],
        certificate_no="C1",
        unit_no="U1",
    ),
    "prop_owned": case([OTHERS, HELD], [OTHERS], [OTHERS, UNSAID]),
    "prop_use_match": case(
        [{**UNIT, "property_use": "工业"}],
        [{**UNIT, "property_use": "商业"}, {**OTHER_UNIT, "property_use": "工业"}],
        [{**UNIT, "property_use": None}],
        unit_no="U1",
        use="工业",
    ),
    "prop_area_match": case(
        [{**UNIT, "area": 101.0}], [{**UNIT, "area": 98.0}], [{**UNIT, "area": None}], unit_no="U1", area=100.0
    ),
    "prop_area_at_least": case(
        [{"area": 300.0}, {"area": 200.0}], [{"area": 300.0}], [{"area": 300.0}, {"area": None}], x=500.0
    ),
    "prop_mortgaged": case([OTHER_UNIT, UNIT], [OTHER_UNIT], [NO_UNIT], unit_no="U1"),
    "prop_free": case(
        {
            "enterprise_property_registration": [{**HELD, **UNIT}],
            "enterprise_property_mortgage": [OTHER_UNIT],
        },
        {"enterprise_property_registration": [{**HELD, **UNIT}], "enterprise_property_mortgage": [UNIT]},
        {"enterprise_property_registration": [{**HELD, **UNIT}], "enterprise_property_mortgage": [NO_UNIT]},
        unit_no="U1",
    ),
    "prop_my_mortgage": case(
        [{"real_estate_registration_no": "R1", "mortgagee_id_number": INSTITUTION}],
        [{"real_estate_registration_no": "R1", "mortgagee_id_number": "another bank"}],
        [{"real_estate_registration_no": "R1", "mortgagee_id_number": None}],
        registration_no="R1",
    ),
    "prop_mortgage_count": case(
        [{"mortgagor_name": SUBJECT_NAME}, {"mortgagor_name": "Another"}],
        [{"mortgagor_name": SUBJECT_NAME}] * 2,
        [{"mortgagor_name": None}],
        n=1.0,
    ),
    "prop_seized": case([UNIT], [OTHER_UNIT], [NO_UNIT], unit_no="U1"),
    "person_prop_match": case(
        [REGISTERED],
        [{**REGISTERED, "real_estate_registration_no": "R2"}],
        [{**REGISTERED, "real_estate_registration_no": None}],
        registration_no="R1",
        unit_no="U1",
    ),
    "person_prop_owned": case([HELD], [OTHERS], [UNSAID]),
    "person_prop_mortgaged": case([UNIT], [], [NO_UNIT], unit_no="U1"),
    # Utilities.
    "water_in_arrears": case(
        [{"currently_in_arrears": False}, {"currently_in_arrears": True}],
        [{"currently_in_arrears": False}] * 2,
        [{"currently_in_arrears": False}, {"currently_in_arrears": None}],
    ),
    "water_in_use": field("avg_monthly_usage_3m", 0.1, 0.0),
    "water_not_dropped": usage("avg_monthly_usage_3m", "avg_monthly_usage_6m"),
    **{f"water_{name}": found for name, found in arrears().items()},
    "gas_in_arrears": field("currently_in_arrears", True, False),
    "gas_in_use": case(
        [{"avg_monthly_usage_3m": 0.0}, {"avg_monthly_usage_3m": 2.0}],
        [{"avg_monthly_usage_3m": 0.0}] * 2,
        [{"avg_monthly_usage_3m": 2.0}, {"avg_monthly_usage_3m": None}],
    ),
    "gas_not_dropped": usage("avg_monthly_usage_3m", "avg_monthly_usage_6m"),
    **{f"gas_{name}": found for name, found in arrears().items()},
    "power_in_arrears": field("currently_in_arrears", True, False),
    "power_not_dropped": usage("avg_monthly_amount_3m", "avg_monthly_amount_12m"),
    "power_spend_at_least": case(
        [{"avg_monthly_amount_12m": 1500.0}, {"avg_monthly_amount_12m": 500.0}],
        [{"avg_monthly_amount_12m": 1500.0}],
        x=2000.0,
    ),
    "power_account_years": case(
        [{"account_open_date": d("2025-01-01")}, {"account_open_date": d("2020-06-30")}],
        [{"account_open_date": d("2020-07-01")}],
        [{"account_open_date": d("2020-06-30")}, {"account_open_date": None}],
        n=5.0,
    ),
    "power_risk_grade_in": case(
        [{"risk_grade": "低"}, {"risk_grade": "中"}],
        [{"risk_grade": "低"}, {"risk_grade": "高"}],
        [{"risk_grade": "低"}, {"risk_grade": None}],
        accepted_grades=("低", "中"),
    ),
    "power_no_open_arrears": field("repaid", True, False),
    "person_water_in_arrears": OPEN_ARREARS,
    "person_gas_in_arrears": OPEN_ARREARS,
    # Environment.
    "env_good": environment("environmental_grade", "绿", "黄"),
    "env_not_bad": environment("environmental_grade", "黄", "黑"),
    "env_score_at_least": environment("environmental_score", 80.0, 79.5, x=80.0),
    "env_recent": case(
        [{"evaluation_date": d("2020-01-01")}, {"evaluation_date": d("2023-06-30")}],
        [{"evaluation_date": d("2023-06-29")}],
        [{"evaluation_date": None}],
    ),
    # Administration.
    "licence_valid": case(
        [{"licence_no": "L1", "licence_status": "有效"}],
        [{"licence_no": "L1", "licence_status": "注销"}, {"licence_no": "L2", "licence_status": "有效"}],
        [{"licence_no": "L1", "licence_status": None}],
        licence_no="L1",
    ),
    "licence_held": case(
        [{"licence_certificate_name": "食品经营", "licence_status": "有效"}],
        [{"licence_certificate_name": "食品经营", "licence_status": "注销"}],
        certificate="食品经营",
    ),
    "no_penalty": case(
        [{"decision_date": d("2024-06-29"), "publicity_end_date": d("2026-01-01")}],
        [{"decision_date": d("2024-06-30"), "publicity_end_date": d("2025-06-30")}],
        # Nobody says that a list of penalties is complete, so that a clean one proves nothing.
        [],
        n=12.0,
    ),
    "fines_within": case(
        [FINED, {**FINED, "publicity_end_date": d("2025-06-29")}],
        [FINED, FINED],
        [{**FINED, "fine_amount": None}],
        x=5.0,
    ),
    "licence_revoked": case(
        [{"revoked_licence": "许可证", "decision_date": d("2022-06-30")}],
        [{"revoked_licence": "许可证", "decision_date": d("2022-06-29")}, {"decision_date": d("2025-01-01")}],
        [{"revoked_licence": "许可证", "decision_date": None}],
    ),
    "no_enforcement": lasting("enforcement_date", "2023-06-29", "2023-06-30", n=24.0),
    # Courts.
    "no_case_filed": lasting("filing_date", "2024-12-29", "2024-12-30", n=6.0),
    "cases_filed_within": case(
        [{"filing_date": d("2025-01-01")}, {"filing_date": d("2021-01-01")}],
        [{"filing_date": d("2025-01-01")}, {"filing_date": d("2024-01-01")}],
        [{"filing_date": d("2025-01-01")}, {"filing_date": None}],
        n=1.0,
    ),
    "loan_dispute": case(
        [LENDING],
        [{**LENDING, "cause_of_action": "劳动争议"}, {**LENDING, "filing_date": d("2023-06-29")}],
        [{**LENDING, "cause_of_action": None}],
    ),
    "open_case": case(
        {"case_filing": [CASE, {"case_no": "K2"}], "case_closing": [CASE]},
        {"case_filing": [CASE], "case_closing": [CASE, {"case_no": "K2"}]},
        {"case_filing": [CASE], "case_closing": [{"case_no": None}]},
    ),
    "case_closed": case([CASE], [{"case_no": "K2"}], case_no="K1"),
    "closed_by": case([CASE], [{**CASE, "closing_method": "判决"}], [{"case_no": "K1"}], case_no="K1", method="撤诉"),
    # Guarantees.
    "guaranteed_now": case(
        [LIVE],
        [{**LIVE, "liability_release_date": d("2025-06-30")}, {**LIVE, "liability_start_date": d("2025-07-01")}],
        [{**LIVE, "liability_start_date": None}],
    ),
    "guaranteed_within": case(
        [{**LIVE, "new_guarantee_amount": 100.0}],
        [{**LIVE, "new_guarantee_amount": 101.0}],
        [{**LIVE, "new_guarantee_amount": None}],
        x=100.0,
    ),
    "third_party_guarantor": case(
        [{"third_party_id_number": SUBJECT, "liability_release_date": None}],
        [{"third_party_id_number": SUBJECT, "liability_release_date": d("2024-01-01")}],
    ),
    "related_guarantee": case(
        [{**LIVE, "related_party_guarantee": True}], [{**LIVE, "related_party_guarantee": False}], [LIVE]
    ),
    "guarantee_contract_match": case(
        [{**LIVE, "loan_contract_no": "Q1"}],
        [{**LIVE, "loan_contract_no": "Q2"}, {"guaranteed_id_number": "T", "loan_contract_no": "Q1"}],
        contract_no="Q1",
    ),
    # People and vehicles.
    "is_officer": case(
        [{"person_name": "张三", "person_position": "经理"}],
        [{"person_name": "张三", "person_position": "监事"}, {"person_name": "李四", "person_position": "经理"}],
        person_name="张三",
        position="经理",
    ),
    "vehicle_match": case(
        [{"vin": "V1", "uscc": SUBJECT}], [{"vin": "V2", "uscc": SUBJECT}], [{"vin": None, "uscc": SUBJECT}], vin="V1"
    ),
    "vehicles_at_least": case([{"uscc": SUBJECT}] * 3, [{"uscc": SUBJECT}] * 2, n=3.0),
    # Innovation.
    "patents_at_least": case([{"entity_name": SUBJECT_NAME}] * 3, [{"entity_name": SUBJECT_NAME}], n=3.0),
    "inventions_at_least": case(
        [{"entity_name": SUBJECT_NAME, "patent_type": "发明"}],
        [{"entity_name": SUBJECT_NAME, "patent_type": "实用新型"}],
        [{"entity_name": SUBJECT_NAME}],
        n=1.0,
    ),
    "patent_match": case(
        [{"application_no": "Z1", "entity_name": SUBJECT_NAME}],
        [{"application_no": "Z2", "entity_name": SUBJECT_NAME}],
        application_no="Z1",
    ),
    "trademarks_at_least": case([{"uscc": SUBJECT}] * 10, [{"uscc": SUBJECT}] * 9, n=10.0),
    "trademark_match": case(
        [{"registration_no": "M1", "uscc": SUBJECT}], [{"registration_no": "M2", "uscc": SUBJECT}], registration_no="M1"
    ),
    "high_tech": field("national_high_tech_enterprise", True, False),
    "research_supported": case([{"research_support": ("人才认证",)}], [{"research_support": None}]),
    "research_support_kind": field("research_support", ("人才认证", "实验室建设"), ("人才认证",), kind="实验室建设"),
    "tech_sme": field("recognition_year", 2024.0, 2023.0),
    # Recognitions.
    "above_scale": case([{}], ONLY_IF_COMPLETE),
    "unicorn_gazelle": field("recognition_year", 2022.0, 2021.0),
    "srdi_valid": case(
        [{"valid_from": d("2022-07-01"), "valid_to": d("2025-06-30")}],
        [{"valid_from": d("2022-06-30"), "valid_to": d("2025-06-29")}],
        [{"valid_from": d("2022-07-01"), "valid_to": None}],
    ),
    "demonstration": case([{}], ONLY_IF_COMPLETE),
    "award_recent": case(
        [{"supplier_uscc": SUBJECT, "award_date": d("2024-06-30")}],
        [{"supplier_uscc": SUBJECT, "award_date": d("2024-06-29")}],
        [{"supplier_uscc": SUBJECT, "award_date": None}],
        n=12.0,
    ),
    "award_sum_at_least": case(
        [{**AWARD, "contract_date": d("2024-06-30")}],
        [{**AWARD, "contract_date": d("2024-06-29")}],
        [{**AWARD, "contract_date": None}],
        x=500000.0,
    ),
    "award_match": case(
        [AWARD],
        [{**AWARD, "contract_amount": 500001.0}],
        [{**AWARD, "project_no": None}],
        project_no="P1",
        amount=500000.0,
    ),
    "commitment_broken": field("performance_status", "未履行", "已履行"),
    "commitment_made": field("commitment_type", "审批替代型", "主动公示型", type="审批替代型"),
    # Agriculture.
    "agri_demonstration": case([{}], ONLY_IF_COMPLETE),
    "agri_category_match": field("entity_category", "家庭农场", "合作社", category="家庭农场"),
    "agri_land_right": case([{"rural_land_operation_right": "有"}], [{"rural_land_operation_right": None}]),
    "land_contract": case([{}], ONLY_IF_COMPLETE),
    "livestock_at_least": case(
        [{"head_count": 150.0}, {"head_count": 50.0}], [{"head_count": 150.0}], [{"head_count": None}], n=200.0
    ),
    "machinery_held": case([{}], ONLY_IF_COMPLETE),
    # The platform.
    "whitelisted": case([{}], ONLY_IF_COMPLETE),
    "risk_flagged": field("open", True, False),
}
