"""What a platform asks of terms before it signs: that they name what there is, and whose consent it takes."""

from __future__ import annotations

from fedcredit.errors import Problem, RefusedError, UsageError
from fedcredit.governance.consent.claims import ConsentBy
from fedcredit.governance.consent.subjects import is_person_number
from fedcredit.governance.consent.terms import Language, Terms, Wording, disclosure
from fedcredit.runtime.catalog_file import shipped_catalogs
from fedcredit.runtime.predicate_file import shipped_predicates

__all__ = ["check_terms", "notice_of", "wording_of"]


def wording_of(region: str, language: Language) -> Wording:
    """How people call what a region's catalog and the predicates name."""
    catalog = shipped_catalogs().get(region)
    items = (
        {} if catalog is None else {item.id: item.name if language == "zh" else item.name_en for item in catalog.items}
    )
    asked = {
        name: compiled.predicate.zh if language == "zh" else compiled.predicate.en
        for name, compiled in shipped_predicates().items()
    }
    return Wording(region if catalog is None else catalog.name, items, asked)


def notice_of(terms: Terms, by: ConsentBy) -> str:
    """The text that is shown before somebody agrees to `terms`."""
    return disclosure(terms, by, wording_of(terms.region, terms.language))


def check_terms(terms: Terms, by: ConsentBy) -> None:
    """See that the region has all of it, and that it is for `by` to agree.

    Raises: UsageError (CONSENT_TERMS) with all problems; RefusedError (CONSENT_PERSON, CONSENT_ENTERPRISE).
    """
    catalog, predicates = shipped_catalogs().get(terms.region), shipped_predicates()
    if catalog is None:
        raise UsageError(Problem("CONSENT_TERMS", "terms: region", "has no catalog", "see `fedcredit catalog list`"))
    problems, persons = list[Problem](), list[bool]()
    for name in terms.items:
        item = catalog.item(name)
        if item is None or item.id != name:
            fix = f"see `fedcredit catalog show {terms.region}`"
            problems.append(Problem("CONSENT_TERMS", f"terms: item {name}", "is not in the region's catalog", fix))
            continue
        persons.append("person" in catalog.permission(name).release)
    for name in terms.predicates:
        compiled = predicates.get(name)
        if compiled is None or terms.region not in [region.id for region in compiled.predicate.regions]:
            fix = f"see `fedcredit predicate list --region {terms.region}`"
            problems.append(Problem("CONSENT_TERMS", f"terms: predicate {name}", "is not asked in that region", fix))
            continue
        personal = compiled.predicate.subject == "person"
        if personal is not is_person_number(terms.subject):
            what = "is about a person" if personal else "is about an enterprise"
            problems.append(Problem("CONSENT_TERMS", f"terms: predicate {name}", what, "name such a subject"))
        persons.append("person" in compiled.permission(catalog).release)
    if problems:
        raise UsageError(problems)
    if any(persons) and by is not ConsentBy.PERSON:
        what = "hold personal information, and this is no person's own login"
        raise RefusedError(Problem("CONSENT_PERSON", "terms: items", what, "ask the person, apart from the enterprise"))
