"""Job files: a good one is read whole, a bad one is refused with every problem at once, each where it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from fedcredit.runtime.config import JobFile, load_job

GOOD = """
[job]
name = "sme-default"
purpose = "financing"
seed = 7
[parties.bank]
table = "bank.csv"
id = "uscc"
label = "default"
drop = ["approval_year"]
[parties.registry]
table = "registry.csv"
id = "uscc"
missing = ["NA"]
[parties.registry.columns.state]
kind = "categorical"
levels = ["CA", "NY"]
[intersect]
mode = "auto"
[split]
holdout = 0.2
[[model]]
kind = "gbdt"
num_trees = 50
max_depth = 5
learning_rate = 0.1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("bank.csv", "registry.csv"):
        (tmp_path / name).write_text("uscc\n")
    return tmp_path


def load(folder: Path, text: str) -> JobFile:
    path = folder / "JOB.toml"
    path.write_text(text)
    return load_job(path)


def problems(folder: Path, text: str) -> list[tuple[str, str]]:
    """Dotted key (or position) and code of each problem."""
    with pytest.raises(ConfigError) as refused:
        load(folder, text)
    assert refused.value.exit_status == 78
    prefix = f"{folder / 'JOB.toml'}"
    assert all(problem.where.startswith(prefix) for problem in refused.value.problems)
    return [(problem.where.removeprefix(prefix).removeprefix(": "), problem.code) for problem in refused.value.problems]


def test_a_good_job_is_read_whole(folder: Path) -> None:
    job = load(folder, GOOD)
    assert job.label_party == "bank"
    assert job.job.seed == 7
    assert job.split is not None
    assert job.split.holdout == 0.2
    assert job.models[0].params == {"num_trees": 50, "max_depth": 5, "learning_rate": 0.1}
    assert job.table_path(job.receiver) == folder / "bank.csv"
    spec = job.parties["registry"].spec(folder)
    assert spec.column("state").levels == ("CA", "NY")
    assert spec.missing == ("NA",)


def test_what_is_shared_names_no_file_and_no_column_of_a_party(folder: Path) -> None:
    shared = load(folder, GOOD).shared()
    assert shared["intersect"].pop("id_type") == ["uscc"], "the kind of identifier, not a column's name"
    text = str(shared)
    assert not re.search(r"csv|uscc|approval_year|state|default'", text.replace("sme-default", ""))


def test_a_job_without_models_is_an_intersection(folder: Path) -> None:
    job = load(folder, GOOD[: GOOD.index("[split]")])
    assert job.models == ()
    assert job.split is None


def test_models_are_split_by_default(folder: Path) -> None:
    job = load(folder, GOOD.replace("[split]\nholdout = 0.2", ""))
    assert job.split is not None
    assert job.split.holdout == 0.2


def test_a_split_by_time_takes_numbers_texts_and_dates(folder: Path) -> None:
    for written, start in (("2006", 2006), ('"2006-01-31"', "2006-01-31"), ("2006-01-31", "2006-01-31")):
        job = load(folder, GOOD.replace("holdout = 0.2", f'time = "approval_year"\nfrom = {written}'))
        assert job.split is not None
        assert (job.split.time, job.split.start) == ("approval_year", start)


def test_every_problem_is_listed_at_once(folder: Path) -> None:
    text = (
        GOOD.replace("seed = 7", 'seed = "seven"\nsede = 1')
        .replace('table = "registry.csv"', 'table = "missing.csv"')
        .replace("holdout = 0.2", "holdout = 1.5")
        .replace("learning_rate = 0.1", "learning_rat = 0.1\nhide_nodes = 3")
    )
    assert sorted(problems(folder, text)) == [
        ("job.sede", "CONFIG_UNKNOWN_KEY"),
        ("job.seed", "CONFIG_TYPE"),
        ("model.0.hide_nodes", "CONFIG_TYPE"),
        ("model.0.learning_rat", "CONFIG_UNKNOWN_KEY"),
        ("parties.registry.table", "CONFIG_PATH"),
        ("split.holdout", "CONFIG_VALUE"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "where", "meant"),
    [
        ("[split]", "[spilt]", "spilt", "split"),
        ("seed = 7", "sede = 7", "job.sede", "seed"),
        ("drop = ", "drops = ", "parties.bank.drops", "drop"),
        ("levels = ", "level = ", "parties.registry.columns.state.level", "levels"),
        ("mode = ", "mdoe = ", "intersect.mdoe", "mode"),
        ("holdout = 0.2", "hold_out = 0.2", "split.hold_out", "holdout"),
        ("num_trees = 50", "num_tree = 50", "model.0.num_tree", "num_trees"),
        ('kind = "gbdt"', 'kind = "gbdt"\nhide_node = true', "model.0.hide_node", "hide_nodes"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(folder: Path, old: str, new: str, where: str, meant: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(folder, GOOD.replace(old, new, 1))
    found = [p for p in refused.value.problems if p.code == "CONFIG_UNKNOWN_KEY"]
    assert [p.where.rpartition(": ")[2] for p in found] == [where]
    assert f"did you mean {meant!r}?" in found[0].fix


@pytest.mark.parametrize(
    ("old", "new", "where", "code"),
    [
        ('purpose = "financing"', "", "job.purpose", "CONFIG_MISSING_KEY"),
        ('purpose = "financing"', 'purpose = "marketing"', "job.purpose", "CONFIG_VALUE"),
        ('name = "sme-default"', 'name = "../etc"', "job.name", "CONFIG_VALUE"),
        ("seed = 7", "seed = -1", "job.seed", "CONFIG_VALUE"),
        ("seed = 7", "seed = 7.5", "job.seed", "CONFIG_TYPE"),
        ("seed = 7", "seed = true", "job.seed", "CONFIG_TYPE"),
        ("seed = 7", 'trust = "malicious"', "job", "CONFIG_INSECURE"),
        ("[parties.registry]", "[parties.Registry]", "parties.Registry", "CONFIG_NAME"),
        ("[parties.registry]", "[parties.platform]", "parties.platform", "CONFIG_NAME"),
        ('label = "default"', 'label = "uscc"', "parties.bank", "CONFIG_CONFLICT"),
        ('label = "default"\n', "", "parties", "CONFIG_LABEL"),
        ('drop = ["approval_year"]', 'drop = ["default"]', "parties.bank", "CONFIG_CONFLICT"),
        ('drop = ["approval_year"]', 'drop = "approval_year"', "parties.bank.drop", "CONFIG_TYPE"),
        ('drop = ["approval_year"]', 'id_type = "passport"', "parties.bank.id_type", "CONFIG_VALUE"),
        ('missing = ["NA"]', 'label = "y"', "parties", "CONFIG_LABEL"),
        ('missing = ["NA"]', 'id_type = "text"', "parties", "CONFIG_CONFLICT"),
        ('missing = ["NA"]', 'encoding = "latin-1"', "parties.registry.encoding", "CONFIG_VALUE"),
        ('kind = "categorical"', 'kind = "numeric"', "parties.registry.columns.state", "CONFIG_CONFLICT"),
        ('["CA", "NY"]', '["CA", "CA"]', "parties.registry.columns.state", "CONFIG_CONFLICT"),
        ('mode = "auto"', 'mode = "hash"', "intersect.mode", "CONFIG_VALUE"),
        ('mode = "auto"', "min_size = 3", "intersect", "CONFIG_FLOOR"),
        ('mode = "auto"', "receiver_only = true", "intersect.receiver_only", "CONFIG_CONFLICT"),
        ('mode = "auto"', "size_only = true", "intersect.size_only", "CONFIG_CONFLICT"),
        ('mode = "auto"', 'mode = "fast"\nsize_only = true', "intersect", "CONFIG_CONFLICT"),
        ("holdout = 0.2", "holdout = 0.0", "split.holdout", "CONFIG_VALUE"),
        ("holdout = 0.2", "holdout = nan", "split.holdout", "CONFIG_VALUE"),
        ("holdout = 0.2", "", "split", "CONFIG_CONFLICT"),
        ("holdout = 0.2", 'holdout = 0.2\ntime = "year"\nfrom = 2006', "split", "CONFIG_CONFLICT"),
        ("holdout = 0.2", 'time = "year"', "split", "CONFIG_CONFLICT"),
        ('kind = "gbdt"', 'kind = "randomforest"', "model.0.kind", "CONFIG_VALUE"),
        ('kind = "gbdt"', "", "model.0.kind", "CONFIG_MISSING_KEY"),
        ("[[model]]", "[model]", "model", "CONFIG_TYPE"),
        ("num_trees = 50", 'groupsum = "plain"', "model.0.groupsum", "CONFIG_INSECURE"),
        ("num_trees = 50", 'groupsum = "rot13"', "model.0.groupsum", "CONFIG_VALUE"),
        ("num_trees = 50", "num_trees = 0", "model.0.num_trees", "CONFIG_VALUE"),
        ("num_trees = 50", "min_data_in_bin = 9", "model.0.min_data_in_bin", "CONFIG_FLOOR"),
        ("num_trees = 50", "min_data_in_leaf = 1", "model.0.min_data_in_leaf", "CONFIG_FLOOR"),
        ("num_trees = 50", 'api_token = "tops3cret"', "model.0.api_token", "CONFIG_SECRET"),
        ('table = "bank.csv"', 'table = "postgresql://me:pw@db/x"', "parties.bank.table", "CONFIG_SECRET"),
        ('table = "bank.csv"', 'table = "nul\\u0000.csv"', "parties.bank.table", "CONFIG_PATH"),
        ('table = "bank.csv"', "table = 3", "parties.bank.table", "CONFIG_TYPE"),
    ],
)
def test_a_bad_value_is_refused_where_it_stands(folder: Path, old: str, new: str, where: str, code: str) -> None:
    assert old in GOOD
    assert (where, code) in problems(folder, GOOD.replace(old, new, 1))


@pytest.mark.parametrize("backend", ["auto", "onehot", "paillier"])
def test_a_job_names_how_sums_are_made(folder: Path, backend: str) -> None:
    (folder / "job.toml").write_text(GOOD.replace("num_trees = 50", f'groupsum = "{backend}"'))
    assert load_job(folder / "job.toml").models[0].groupsum == backend


def test_one_party_is_not_a_job(folder: Path) -> None:
    start, end = GOOD.index("[parties.registry]"), GOOD.index("[intersect]")
    assert problems(folder, GOOD[:start] + GOOD[end:]) == [("parties", "CONFIG_PARTIES")]


def test_two_models_of_one_name_are_refused(folder: Path) -> None:
    model = '\n[[model]]\nkind = "gbdt"\nname = "a"\n'
    assert problems(folder, GOOD + model + model) == [("model", "CONFIG_CONFLICT")]


TREES = "num_trees = 50\nmax_depth = 5\nlearning_rate = 0.1\n"
BINNING = GOOD.replace('kind = "gbdt"', 'kind = "binning"').replace(TREES, 'max_bin = 8\nmonotone = "ascending"\n')


def test_a_job_of_binnings_alone_holds_nothing_out(folder: Path) -> None:
    whole = BINNING.replace("[split]\nholdout = 0.2", "")
    job = load(folder, whole)
    assert job.split is None
    assert job.models[0].kind == "binning"
    assert job.models[0].params == {"max_bin": 8, "monotone": "ascending"}
    assert job.shared()["models"][0]["name"] == "binning.0"
    assert load(folder, BINNING).split is not None
    assert load(folder, whole + '\n[[model]]\nkind = "gbdt"\n').split is not None


@pytest.mark.parametrize(
    ("text", "where", "code"),
    [
        ("max_bins = 8", "model.0.max_bins", "CONFIG_UNKNOWN_KEY"),
        ("hide_nodes = true", "model.0.hide_nodes", "CONFIG_UNKNOWN_KEY"),
        ('groupsum = "plain"', "model.0.groupsum", "CONFIG_INSECURE"),
        ("max_bin = 65", "model.0.max_bin", "CONFIG_VALUE"),
        ("min_rows = 49", "model.0.min_rows", "CONFIG_FLOOR"),
        ('method = "quantile"', "model.0.monotone", "CONFIG_CONFLICT"),
        ('iv_disclosure = "some"', "model.0.iv_disclosure", "CONFIG_VALUE"),
    ],
)
def test_a_bad_parameter_of_a_binning_is_refused_where_it_stands(
    folder: Path, text: str, where: str, code: str
) -> None:
    assert problems(folder, BINNING.replace("max_bin = 8", text)) == [(where, code)]


def test_the_nearest_parameter_of_a_binning_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(folder, BINNING.replace("max_bin = 8", "iv_disclosur = 'none'"))
    assert "iv_disclosure" in refused.value.problems[0].fix


STATISTICS = (
    GOOD.replace('kind = "gbdt"', 'kind = "statistics"')
    .replace(TREES, 'min_cell = 60\n[[model.table]]\nname = "by_state"\nby = ["registry.state"]\nsum = ["bank.x"]\n')
    .replace("[split]\nholdout = 0.2", "")
)


def test_statistics_need_no_label_and_hold_nothing_out(folder: Path) -> None:
    text = STATISTICS.replace('label = "default"\n', "")
    assert text != STATISTICS
    job = load(folder, text)
    assert (job.split, job.label_party, job.receiver) == (None, None, "bank")
    assert [party["role"] for party in job.shared()["parties"]] == ["label", "feature"]
    (model,) = job.shared()["models"]
    assert (model["kind"], model["hide_nodes"], model["params"]["min_cell"]) == ("statistics", True, 60)
    assert problems(folder, text + '\n[[model]]\nkind = "gbdt"\n') == [("parties", "CONFIG_LABEL")]


@pytest.mark.parametrize(
    ("old", "new", "where", "code"),
    [
        ("min_cell = 60", "min_cell = 9", "model.0.min_cell", "CONFIG_FLOOR"),
        ("min_cell = 60", "min_cell = 1.5", "model.0.min_cell", "CONFIG_TYPE"),
        ("min_cell = 60", "quantiles = 21", "model.0.quantiles", "CONFIG_VALUE"),
        ("min_cell = 60", 'share = "yes"', "model.0.share", "CONFIG_TYPE"),
        ("min_cell = 60", "min_cells = 60", "model.0.min_cells", "CONFIG_UNKNOWN_KEY"),
        ('name = "by_state"', 'name = "by_state"\nsums = []', "model.0.table.0.sums", "CONFIG_UNKNOWN_KEY"),
        ('name = "by_state"', 'name = "../x"', "model.0.table.0.name", "CONFIG_NAME"),
        ('name = "by_state"', "", "model.0.table.0.name", "CONFIG_NAME"),
        ('by = ["registry.state"]', "", "model.0.table.0.by", "CONFIG_MISSING_KEY"),
        ('by = ["registry.state"]', "by = []", "model.0.table.0.by", "CONFIG_VALUE"),
        ('by = ["registry.state"]', 'by = "registry.state"', "model.0.table.0.by", "CONFIG_TYPE"),
        ('by = ["registry.state"]', 'by = ["state"]', "model.0.table.0.by", "CONFIG_VALUE"),
        ('by = ["registry.state"]', 'by = ["police.state"]', "model.0.table.0.by", "CONFIG_VALUE"),
        ('by = ["registry.state"]', 'by = ["bank.x"]', "model.0.table.0.by", "CONFIG_CONFLICT"),
        (
            'by = ["registry.state"]',
            'by = ["registry.state", "registry.x"]',
            "model.0.table.0.by",
            "CONFIG_CONFLICT",
        ),
        ('sum = ["bank.x"]', 'sum = ["registry.x"]', "model.0.table.0.sum", "CONFIG_CONFLICT"),
        ('sum = ["bank.x"]', 'sum = ["bank.x", "bank.x"]', "model.0.table.0.sum", "CONFIG_CONFLICT"),
        ('sum = ["bank.x"]', 'missing = "no"', "model.0.table.0.missing", "CONFIG_VALUE"),
        ("[[model.table]]", "[model.table]", "model.0.table", "CONFIG_MISSING_KEY"),
    ],
)
def test_a_bad_table_of_statistics_is_refused_where_it_stands(
    folder: Path, old: str, new: str, where: str, code: str
) -> None:
    assert old in STATISTICS
    assert problems(folder, STATISTICS.replace(old, new)) == [(where, code)]


@pytest.mark.parametrize(
    ("splits", "code"),
    [("[1, 1]", "CONFIG_VALUE"), ("[2, 1]", "CONFIG_VALUE"), ("[nan]", "CONFIG_VALUE"), ('"some"', "CONFIG_TYPE")],
)
def test_split_points_by_hand_belong_to_one_party_and_ascend(folder: Path, splits: str, code: str) -> None:
    columns = "[parties.registry.columns.state]\n"
    good = BINNING.replace(columns + 'kind = "categorical"\nlevels = ["CA", "NY"]', columns + "splits = [-1.5, 3]")
    job = load(folder, good)
    assert job.parties["registry"].spec(folder).column("state").splits == (-1.5, 3.0)
    assert "1.5" not in str(job.shared())
    found = problems(folder, good.replace("[-1.5, 3]", splits))
    assert [problem for _, problem in found] == [code]
    assert found[0][0].startswith("parties.registry.columns.state")


def test_a_problem_never_repeats_a_value(folder: Path) -> None:
    text = GOOD.replace("seed = 7", 'seed = "tops3cret"\npassword = "tops3cret"').replace(
        'mode = "auto"', 'mode = "tops3cret"'
    )
    with pytest.raises(ConfigError) as refused:
        load(folder, text)
    assert len(refused.value.problems) == 4
    assert "tops3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[job]\nseed = 1\nseed = 2\n", "CONFIG_DUPLICATE_KEY"),
        ("[job]\n[job]\n", "CONFIG_DUPLICATE_KEY"),
        ("[job\n", "CONFIG_TOML"),
        ("a = !!python/object:os.system\n", "CONFIG_TOML"),
        ("a = " + "[" * 5000, "CONFIG_TOML"),
        ("# " + "x" * (1 << 20) + "\n", "CONFIG_FILE"),
    ],
)
def test_a_file_that_is_no_toml_is_refused(folder: Path, text: str, code: str) -> None:
    assert [found for _, found in problems(folder, text)] == [code]


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    path = folder / "JOB.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="CONFIG_ENCODING"):
        load_job(path)


def test_a_file_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_job(folder / "NO.toml")
    with pytest.raises(ConfigError, match="is not a file"):
        load_job(folder)


DECLARED = """
[job]
name = "sme-default"
purpose = "financing"
[parties.bank]
table = "loans"
role = "label"
[parties.tax]
table = "enterprise_tax"
[parties.housing]
[[model]]
kind = "gbdt"
"""


def test_a_job_for_nodes_names_declared_tables(folder: Path) -> None:
    path = folder / "JOB.toml"
    path.write_text(DECLARED)
    job = load_job(path, declared=True)
    assert job.label_party == "bank"
    assert job.shared()["parties"] == [
        {"id": "bank", "role": "label", "table": "loans"},
        {"id": "tax", "role": "feature", "table": "enterprise_tax"},
        {"id": "housing", "role": "feature", "table": "main"},
    ]
    with pytest.raises(ConfigError) as refused:
        job.table_path(job.receiver)
    assert refused.value.code == "CONFIG_SOURCE"


def test_a_job_for_nodes_says_nothing_about_how_a_party_reads_its_table(folder: Path) -> None:
    path = folder / "JOB.toml"
    path.write_text(DECLARED.replace('"loans"', '"loans"\nid = "uscc"').replace('"enterprise_tax"', '"tax.csv"'))
    with pytest.raises(ConfigError) as refused:
        load_job(path, declared=True)
    found = {(problem.where.rpartition(": ")[2], problem.code) for problem in refused.value.problems}
    assert found == {("parties.bank.id", "CONFIG_UNKNOWN_KEY"), ("parties.tax.table", "CONFIG_VALUE")}


def test_a_job_file_holds_no_database_and_no_interface(folder: Path) -> None:
    database = '[parties.registry.postgresql]\nrelation = "gov.tax"\nurl_env = "TAX_DB"\n'
    text = GOOD.replace('table = "registry.csv"\n', "").replace(
        "[parties.registry.columns", f"{database}[parties.registry.columns"
    )
    assert problems(folder, text) == [("parties.registry", "CONFIG_CONFLICT")]
