"""What a store keeps for durable jobs, policies, enrolment and the platform; each write is whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from fedcredit.errors import FedcreditError, PeerLost, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.store import Checkpoint, JobState, Store, jobs, platform
from fedcredit.runtime.clock import ManualClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def store(store_url: str, clock: ManualClock) -> Iterator[Store]:
    store = Store.open(store_url, clock)
    yield store
    store.close()


def running(store: Store, job: str = "job") -> None:
    store.jobs.propose(job, b"{}", b"n" * 32, b"f" * 32, submitter="ann", rule="rule.1")
    store.jobs.sign(job, b"spec", job.encode().ljust(32, b"s"))
    store.jobs.start(job, b"signatures")


def state_of(store: Store, job: str = "job") -> JobState:
    row = store.jobs.job(job)
    assert row is not None
    return row.state


def test_a_job_waits_for_a_person_and_goes_on_with_what_was_approved(store: Store) -> None:
    store.jobs.pend("job", b"{}", submitter="ann", reason="new purpose", rule="ask")
    store.jobs.pend("job", b"{}", submitter="ann", reason="new purpose", rule="ask")
    for proposal in (b"{}", b"other"):
        with pytest.raises(FedcreditError, match="JOB_STATE"):
            store.jobs.propose("job", proposal, b"n" * 32, b"f" * 32)
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        store.jobs.pend("job", b"other", submitter="ann", reason="", rule="")
    store.jobs.approve("job", "bob")
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        store.jobs.approve("job", "eve")
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        store.jobs.propose("job", b"other", b"n" * 32, b"f" * 32)
    store.jobs.propose("job", b"{}", b"n" * 32, b"f" * 32)
    row = store.jobs.job("job")
    assert row is not None
    assert (row.state, row.submitter, row.rule, row.pending_reason, row.approved_by) == (
        JobState.PROPOSED,
        "ann",
        "ask",
        "new purpose",
        "bob",
    )
    assert row.commitment_nonce == b"n" * 32


def test_a_known_job_is_not_proposed_again(store: Store) -> None:
    store.jobs.propose("job", b"{}", b"n" * 32, b"f" * 32)
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        store.jobs.propose("job", b"{}", b"m" * 32, b"f" * 32)


def test_a_waiting_job_says_why_and_goes_on_under_a_greater_epoch(store: Store, clock: ManualClock) -> None:
    running(store)
    for name in ("validate", "align", "split"):
        store.stages.finish("job", name, name.encode(), NOW)
    store.stages.begin("job", "gbdt")
    clock.advance(5)
    store.jobs.wait("job", "PEER_LOST", "tax")
    row = store.jobs.job("job")
    assert row is not None
    assert (row.state, row.waiting_code, row.waiting_culprit) == (JobState.WAITING, "PEER_LOST", "tax")
    assert row.waiting_since == row.updated > row.created
    store.jobs.resume("job", 3, 2)
    row = store.jobs.job("job")
    assert row is not None
    assert (row.state, row.epoch, row.waiting_code, row.waiting_since) == (JobState.RUNNING, 3, "", "")
    assert [stage.name for stage in store.stages.all("job")] == ["validate", "align"]
    store.stages.finish("job", "split", b"again", NOW, epoch=3)
    assert [(kept.stage, kept.epoch) for kept in store.stages.checkpoints("job")] == [
        ("validate", 0),
        ("align", 0),
        ("split", 3),
    ]
    digest = hashlib.sha256(b"again").digest()
    assert store.stages.checkpoints("job")[2] == Checkpoint("split", 3, digest)


@pytest.mark.parametrize(
    ("epoch", "keep", "code"), [(0, 0, "STALE_EPOCH"), (1, 3, "CHECKPOINT_MISSING")], ids=["epoch", "checkpoints"]
)
def test_a_resume_that_cannot_be_changes_nothing(store: Store, epoch: int, keep: int, code: str) -> None:
    running(store)
    for name in ("validate", "align"):
        store.stages.finish("job", name, name.encode(), NOW)
    store.jobs.wait("job", "DISK_FULL")
    before = (store.jobs.job("job"), store.stages.all("job"))
    with pytest.raises(FedcreditError, match=code):
        store.jobs.resume("job", epoch, keep)
    assert (store.jobs.job("job"), store.stages.all("job")) == before


def test_only_a_running_or_waiting_job_is_resumed(store: Store) -> None:
    store.jobs.propose("job", b"{}", b"n" * 32, b"f" * 32)
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        store.jobs.resume("job", 1, 0)
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        store.jobs.wait("job", "PEER_LOST", "tax")
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        store.jobs.resume("unknown", 1, 0)


def test_what_an_older_start_of_a_job_says_is_refused(store: Store) -> None:
    running(store)
    store.jobs.resume("job", 1, 0)
    for epoch in (0, 2):
        with pytest.raises(FedcreditError, match="STALE_EPOCH"):
            store.stages.begin("job", "validate", epoch=epoch)
        with pytest.raises(FedcreditError, match="STALE_EPOCH"):
            store.stages.finish("job", "validate", b"x", NOW, epoch=epoch)
    assert store.stages.all("job") == []
    with pytest.raises(FedcreditError, match="JOB_UNKNOWN"):
        store.stages.finish("other", "validate", b"x", NOW)


def test_events_are_read_on_from_any_number(store: Store) -> None:
    for seq in (1, 2, 3):
        store.events.add("job", seq, b"%d" % seq)
    store.events.add("job", 2, b"2")
    store.events.add("other", 1, b"x")
    with pytest.raises(FedcreditError, match="CONFLICT"):
        store.events.add("job", 2, b"another")
    assert store.events.after("job") == [b"1", b"2", b"3"]
    assert store.events.after("job", 2) == [b"3"]
    assert (store.events.last("job"), store.events.last("none")) == (3, 0)


def test_a_budget_is_spent_once_a_job_and_never_past_its_limit(store: Store, clock: ManualClock) -> None:
    store.budgets.spend("one", "ann/table", limit=2)
    store.budgets.spend("one", "ann/table", limit=2)
    clock.advance(3600)
    store.budgets.spend("two", "ann/table", limit=2)
    with pytest.raises(RefusedError, match="BUDGET_SPENT"):
        store.budgets.spend("three", "ann/table", limit=2)
    assert store.budgets.spent("ann/table") == 2
    since = NOW + timedelta(seconds=1)
    assert store.budgets.spent("ann/table", since) == 1
    store.budgets.spend("three", "ann/table", 1, limit=2, since=since)
    store.budgets.spend("one", "ann/rows", 1 << 40)
    assert store.budgets.spent("ann/rows") == 1 << 40
    assert store.budgets.spent("nobody") == 0


def test_what_was_spent_counts_from_a_moment_in_any_zone_and_is_forgotten_by_name(
    store: Store, clock: ManualClock
) -> None:
    start = clock.now()
    store.budgets.spend("one", "permit/a_b", limit=1)
    clock.advance(60)
    store.budgets.spend("two", "permit/axb", limit=1)
    for hours in (-11, 0, 8):
        # As a text the moment is another one in each zone; as a moment it is between the two.
        between = (start + timedelta(seconds=30)).astimezone(timezone(timedelta(hours=hours)))
        assert store.budgets.spent("permit/a_b", between) == 0
        assert store.budgets.spent("permit/axb", between) == 1
    store.budgets.forget("permit/a_", clock.now() + timedelta(seconds=1))
    assert (store.budgets.spent("permit/a_b"), store.budgets.spent("permit/axb")) == (0, 1)
    store.budgets.forget("permit/", clock.now())
    assert store.budgets.spent("permit/axb") == 1
    store.budgets.spend("three", "permit/a_b", limit=1)


def submit(store: Store, job: str = "job", request: str = "r1", digest: bytes = b"d" * 32, by: str = "ann") -> str:
    return store.platform.submit(job, request, digest, definition=b"{}", proposal=b"p", submitter=by).id


def test_jobs_are_counted_by_state(store: Store) -> None:
    assert store.jobs.counts() == store.platform.counts() == {}
    running(store, "a")
    running(store, "b")
    store.jobs.pend("c", b"{}", submitter="ann", reason="")
    assert store.jobs.counts() == {JobState.RUNNING: 2, JobState.PENDING: 1}


def test_jobs_are_read_newest_first_and_in_pieces(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"job{k}" for k in range(7)]
    for k, name in enumerate(names):
        clock.advance(k // 2)  # two of them in the same moment
        store.jobs.pend(name, b"{}", submitter="ann", reason="")
        submit(store, name, name)
    store.jobs.end("job3", JobState.FAILED)
    store.platform.update("job3", JobState.FAILED)
    for at_once in (1, 2, 3, 7, 100):
        for module in (jobs, platform):
            monkeypatch.setattr(module, "ROWS_AT_ONCE", at_once)
        assert [job.id for job in store.platform.newest()] == names[::-1]
        assert sorted(row.id for row in store.jobs.some(names[1:4])) == names[1:4]
    assert [row.id for row in store.jobs.newest(3)] == names[:3:-1]
    open_jobs = [name for name in names if name != "job3"]
    assert [row.id for row in store.jobs.unfinished()] == open_jobs
    assert [job.id for job in store.platform.unfinished()] == open_jobs


def test_a_mark_is_another_one_whenever_a_job_has_come_further(store: Store) -> None:
    seen: list[str] = []

    def mark() -> None:
        (found,) = store.jobs.marks().items()
        assert found[0] == "job"
        seen.append(found[1])

    store.jobs.pend("job", b"{}", submitter="ann", reason="")
    mark()
    store.jobs.approve("job", "ann")
    store.jobs.propose("job", b"{}", b"n" * 32, b"f" * 32)
    mark()
    store.jobs.sign("job", b"spec", b"s" * 32)
    mark()
    store.jobs.end("job", JobState.FAILED, RefusedError("a set is another one"))
    mark()
    assert len(set(seen)) == 4, "although the clock stood still"


def test_a_platform_takes_a_request_once(store: Store) -> None:
    assert submit(store) == "job"
    assert submit(store, "second") == "job"
    with pytest.raises(RefusedError, match="CONFLICT"):
        submit(store, "second", digest=b"e" * 32)
    with pytest.raises(RefusedError, match="CONFLICT"):
        submit(store, "second", by="eve")
    assert [job.id for job in store.platform.all()] == ["job"]


def test_a_submitter_has_so_many_jobs_at_a_time_and_a_repeated_request_is_not_one_more(store: Store) -> None:
    def submit(name: str, submitter: str = "bank") -> str:
        body = {"definition": b"{}", "proposal": b"{}"}
        return store.platform.submit(name, name, b"d" * 32, submitter=submitter, most_open=2, **body).id

    assert [submit("a"), submit("b"), submit("a"), submit("c", "tax")] == ["a", "b", "a", "c"]
    with pytest.raises(RefusedError, match="QUOTA"):
        submit("d")
    store.platform.update("a", JobState.FAILED)
    assert submit("d") == "d"


def test_a_platforms_job_keeps_what_is_given_and_its_end(store: Store) -> None:
    submit(store)
    store.platform.update("job", JobState.SIGNED, specification=b"spec", signatures=b"sigs")
    store.platform.update("job", JobState.RUNNING, epoch=4, attempts=2)
    with pytest.raises(FedcreditError, match="STALE_EPOCH"):
        store.platform.update("job", epoch=3)
    store.platform.update("job", JobState.WAITING, error=PeerLost("tax", "align", "silent"))
    job = store.platform.job("job")
    assert job is not None
    assert (job.state, job.epoch, job.attempts, job.specification, job.exit_status, job.problems[0].code) == (
        JobState.WAITING,
        4,
        2,
        b"spec",
        69,
        "PEER_LOST",
    )
    store.platform.update("job", JobState.SUCCEEDED)
    job = store.platform.job("job")
    assert job is not None
    assert (job.problems, job.exit_status) == ((), 0)
    for name in ("job", "unknown"):
        with pytest.raises(FedcreditError, match="JOB_STATE"):
            store.platform.update(name, JobState.FAILED)
    assert store.platform.job("unknown") is None


def test_a_token_is_used_for_one_request_in_its_time(store: Store, clock: ManualClock) -> None:
    for secret in (b"a", b"b"):
        store.tokens.add(secret * 32, "tax", "provider", NOW + timedelta(hours=1))
        store.tokens.add(secret * 32, "tax", "provider", NOW + timedelta(hours=1))
    assert store.tokens.use(b"a" * 32, b"r" * 32).party == "tax"
    clock.advance(3600)
    # The reply may have been lost: the same request gets it again, even late.
    assert store.tokens.use(b"a" * 32, b"r" * 32).used == NOW.isoformat(timespec="microseconds")
    for secret, request in ((b"a", b"s"), (b"b", b"r"), (b"c", b"r")):
        with pytest.raises(RefusedError, match="TOKEN_REFUSED"):
            store.tokens.use(secret * 32, request * 32)
    assert [token.used is not None for token in store.tokens.all()] == [True, False]


def test_members_are_kept_by_name(store: Store) -> None:
    store.members.put(PartyId("tax"), "provider", b"one", "active", "1")
    store.members.put(PartyId("bank"), "requester", b"two", "active", "2")
    store.members.put(PartyId("tax"), "provider", b"three", "revoked", "3")
    assert [(member.party, member.record, member.state, member.serial) for member in store.members.all()] == [
        ("bank", b"two", "active", "2"),
        ("tax", b"three", "revoked", "3"),
    ]
    member = store.members.of(PartyId("tax"))
    assert member is not None
    assert "three" not in repr(member)
    assert store.members.of(PartyId("none")) is None


def test_results_noted_again_replace_those_before(store: Store) -> None:
    running(store)
    store.results.add("job", [("a", b"d" * 32, 1), ("b", b"d" * 32, 1)])
    store.results.add("job", [("a", b"e" * 32, 2)])
    assert store.results.files("job") == [("a", b"e" * 32, 2)]
