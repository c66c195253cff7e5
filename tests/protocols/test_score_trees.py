"""Encrypted scores of trees: equal to the trees in the clear; nothing comes of what was changed, foreign or made up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees_town import BANK, HOLDS, KEYS, MODEL, NAMES, PAIRS, Bools, Town, changing, codes, numbered, random_tree

from fedcredit.credit.binary import probability
from fedcredit.credit.centralised import train_centralised
from fedcredit.credit.params import TreeParams
from fedcredit.crypto.elgamal_checks import BadKey
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.crypto.rlwe_chain import PARAMETERS, BadPassage, Conditions, Passage, PublicKey, SecretKey
from fedcredit.crypto.sealed import Seal
from fedcredit.crypto.zero_sum import Member, PairKey
from fedcredit.errors import ConfigError, DataError, FedcreditError, PeerError, RefusedError
from fedcredit.kernels import rlwe_chain as kernel
from fedcredit.protocols.boosting import BinnedColumns
from fedcredit.protocols.score import LeafMap, TreesModel, request_hash
from fedcredit.protocols.score.trees import MAX_ERROR
from fedcredit.transport.memory import run_network
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.score import ScoreRequest, ScoreSubjects
from fedcredit.wire.score_trees import MAX_ROWS, TreesKey, TreesMap, TreesPart, TreesVector

SMALL, LARGE = KEYS.values()


def scores_of(town: Town, **of: Any) -> Any:
    return town.run(**of).results[BANK]


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_scores_are_those_of_the_trees_in_the_clear(k: int) -> None:
    town = Town.random(k, 9, seed=k)
    outcome = town.run()
    scores = outcome.results[BANK]
    assert scores.scored.all()
    assert np.abs(probability(scores.raw) - probability(town.in_the_clear())).max() <= town.model.error <= MAX_ERROR
    assert outcome.results[NAMES[0]].released == 9


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 12), st.integers(1, 25))
def test_any_trees_give_the_same_as_in_the_clear(seed: int, k: int, trees: int, splits: int) -> None:
    town = Town.random(k, 3, trees=trees, splits=splits, seed=seed)
    if not any(len(sides) for sides in town.sides[1:]):
        return
    assert np.abs(scores_of(town).raw - town.in_the_clear()).max() <= 4 * MAX_ERROR


def test_a_trained_model_over_columns_with_missing_values_gives_its_own_scores() -> None:
    rng = np.random.default_rng(5)
    n, F = 400, 6
    n_bins, missing = np.full(F, 9), np.arange(F) % 2 == 0
    scored_codes = rng.integers(0, 9, (n, F)).astype(np.uint8)
    y = (rng.random(n) < probability((scored_codes[:, 0] % 8) * 0.4 - 2 + (scored_codes[:, 3] > 4))).astype(np.uint8)
    params = TreeParams(num_trees=6, max_depth=4, min_data_in_leaf=5, learning_rate=0.3)
    ensemble = train_centralised(scored_codes, n_bins, missing, y, params)
    of = np.array([0, 1, 2, 0, 1, 2])
    trees = tuple(dataclasses.replace(tree, owner=of[tree.feature].astype(np.int32)) for tree in ensemble.trees)
    columns = BinnedColumns(np.ascontiguousarray(scored_codes[:40].T), (9,) * F, tuple(map(bool, missing)))
    sides: list[list[Bools]] = [[], [], []]
    for tree in trees:
        for split, owner in enumerate(tree.owner):
            cut = (int(tree.feature[split]), int(tree.bin[split]), bool(tree.missing_left[split]))
            sides[owner].append(columns.sides(*cut))
    town = Town(trees, numbered(trees, 2), [np.array(of) for of in sides], [np.ones(40, bool)] * 2, ensemble.initial)
    cuts = [columns.sides(cut.feature, cut.bin, cut.missing_left) for cut in town.leaves.cuts]
    assert (np.array(cuts) == town.sides[0]).all()
    difference = probability(scores_of(town).raw) - ensemble.predict(scored_codes[:40])
    assert np.abs(difference).max() <= MAX_ERROR


def test_a_row_that_a_provider_refuses_has_no_score_and_the_bank_is_not_told_whose() -> None:
    town = Town.random(3, 8)
    every = np.ones(8, bool)
    for refusing in range(3):
        town.released = [np.arange(8) % 3 > 0 if place == refusing else every for place in range(3)]
        scores = scores_of(town)
        assert scores.scored.tolist() == (np.arange(8) % 3 > 0).tolist()
        assert not scores.raw[::3].any()
        assert np.abs(scores.raw - town.in_the_clear())[scores.scored].max() <= 4 * MAX_ERROR


def test_more_subjects_than_go_into_a_message_are_refused_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedcredit.protocols.score.trees.CONTENT_BYTES", 1 << 19)
    town = Town.random(3, 64, trees=3)
    assert town.requester().most_rows == 32
    with pytest.raises(DataError, match="ask for 32 at once"):
        town.run()
    monkeypatch.setattr("fedcredit.protocols.score.trees_requester.most_rows", lambda passage: 64)
    with pytest.raises(RefusedError, match="SCORE_ROWS"):
        town.run()


def test_messages_stay_below_sixteen_mebibytes_for_any_passage() -> None:
    for parameters in PARAMETERS.values():
        for parties in range(1, parameters.max_parties + 1):
            for width in (1, 300, 1_600, parameters.degree):
                passage = Passage(parameters, parties, width)
                rows = passage.rows_within(12 << 20)
                assert rows % passage.blocks == 0
                assert max(passage.size(place, rows) for place in range(parties + 1)) <= 12 << 20
    assert Passage(SMALL.public.parameters, 3, 1_600).rows_within(12 << 20) >= 100


def vector(edit: Callable[[Any], None]) -> Callable[[Any], Any]:
    def change(message: Any) -> Any:
        sealed = message.sealed.copy()
        edit(sealed)
        return dataclasses.replace(message, sealed=sealed)

    return change


def flipped(sealed: Any) -> None:
    sealed[len(sealed) // 2] ^= 1


def with_fields(**fields: Any) -> Callable[[Any], Any]:
    return lambda message: dataclasses.replace(message, **fields)


def refused(tamper: Any, town: Town | None = None) -> PeerError:
    with pytest.raises(PeerError) as raised:
        (town or Town.random(3, 4)).run(tamper=tamper)
    return raised.value


def test_what_is_changed_on_its_way_does_not_open_and_who_sealed_it_is_named() -> None:
    for who, culprit in ((NAMES[0], BANK), (NAMES[1], NAMES[0]), (NAMES[2], NAMES[1])):
        error = refused(changing(TreesVector, vector(flipped), who=who))
        assert (error.code, error.culprit) == ("SEAL_INVALID", culprit)
    error = refused(changing(TreesPart, vector(flipped), who=NAMES[2]))
    assert (error.code, error.culprit) == ("SEAL_INVALID", NAMES[2])


def test_vectors_and_parts_of_another_request_or_other_rows_are_refused() -> None:
    other = with_fields(request=bytes(32))
    short = with_fields(marks=np.zeros(3, np.uint64))
    cases: list[tuple[Any, Any, str, str]] = [
        (TreesVector, other, "SCORE_OTHER_REQUEST", BANK),
        (TreesPart, other, "SCORE_OTHER_REQUEST", NAMES[1]),
        (TreesPart, short, "SHAPE", NAMES[1]),
    ]
    for kind, change, code, culprit in cases:
        error = refused(changing(kind, change, who=NAMES[1]))
        assert (error.code, error.culprit) == (code, culprit)


def test_what_another_request_was_answered_with_does_not_open() -> None:
    parts: list[TreesPart] = []
    keep = changing(TreesPart, lambda part: parts.append(part) or part, who=NAMES[0])
    Town.random(3, 4, seed=5).run(tamper=keep)
    foreign = changing(TreesVector, with_fields(sealed=parts[0].sealed), who=NAMES[1])
    error = refused(foreign, Town.random(3, 4, seed=6))
    assert (error.code, error.culprit) == ("SEAL_INVALID", NAMES[0])


def resealed(content: Callable[[bytes], bytes], place: int, town: Town) -> Any:
    """What the provider at `place` hands on, as `content` leaves it: it lies, and seals that."""
    requests: list[ScoreRequest] = []
    ring = [*(Member(name, PAIRS[name].public) for name in town.names), Member(BANK, PAIRS[BANK].public)]

    def tamper(link: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag == ScoreRequest.tag:
            requests.append(ScoreRequest.decode(body))
        if tag == TreesPart.tag and town.names[place] in link:
            part = TreesPart.decode(body)
            seal = Seal(ring[place], ring[place + 1], PAIRS[town.names[place]], request_hash(requests[0]))
            made = seal.seal(0, content(seal.open(0, part.sealed.tobytes(), "test")))
            return tag, dataclasses.replace(part, sealed=np.frombuffer(made, np.uint8)).encode()
        return tag, body

    return tamper


def test_ciphertexts_that_are_none_are_refused_and_their_maker_named() -> None:
    town = Town.random(3, 4)
    made_up: list[tuple[Callable[[bytes], bytes], int]] = [
        (lambda content: content[:-1], 0),
        (lambda content: content + b"0", 1),
        (lambda content: b"", 2),
        (lambda content: b"\xff" * len(content), 0),
        (lambda content: content[:-1] + b"\xff" if len(content) % 2 else b"\xff" * len(content), 1),
    ]
    for content, place in made_up:
        error = refused(resealed(content, place, town), town)
        assert (error.code, error.culprit) == ("CIPHERTEXT_INVALID", NAMES[place])


def test_an_answer_that_says_nothing_releases_nothing_and_names_all() -> None:
    town = Town.random(3, 4)
    garbage: list[Callable[[bytes], bytes]] = [
        lambda content: np.random.default_rng(1).bytes(len(content)),
        lambda content: content[6:] + content[:6],
        lambda content: bytes([content[0], content[1], content[2] ^ 0x80, *content[3:]]),
    ]
    for content in garbage:
        error = refused(resealed(content, 2, town), town)
        assert (error.code, error.culprit) == ("SCORE_OUT_OF_RANGE", "tax, social, water")


def source() -> Any:
    return insecure_seeded(9)


def test_marks_in_another_order_leave_rows_without_a_score() -> None:
    def swapped(part: TreesPart) -> TreesPart:
        return dataclasses.replace(part, marks=part.marks[[1, 0, 2, 3]])

    scores = scores_of(Town.random(3, 4), tamper=changing(TreesPart, swapped, who=NAMES[1]))
    assert scores.scored.tolist() == [False, False, True, True]


def test_a_request_that_is_not_to_be_answered_is_refused() -> None:
    other = SecretKey.generate("rival", "x", HOLDS, SMALL.public.parameters, insecure_seeded(3)).public
    cases: list[tuple[dict[str, Any], str]] = [
        ({"model": bytes(32)}, "SCORE_MODEL"),
        ({"bank_keys": {}}, "SCORE_KEY"),
        ({"bank_keys": {SMALL.public.fingerprint: other}}, "SCORE_KEY"),
        ({"min_providers": 4}, "SCORE_PROVIDERS"),
        ({"pair_keys": {}}, "SCORE_PROVIDERS"),
        ({"max_rows": 3}, "SCORE_ROWS"),
    ]
    for changes, code in cases:
        with pytest.raises(RefusedError) as raised:
            Town.random(3, 4, changes=changes).run()
        assert code in {problem.code for problem in raised.value.problems}
    with pytest.raises(RefusedError, match="SCORE_REPLAYED"):
        Town.random(3, 4, fresh=lambda request: False).run()
    other_subjects = changing(ScoreSubjects, with_fields(codes=codes(4)[::-1].copy()))
    with pytest.raises(PeerError, match="SCORE_SUBJECTS"):
        Town.random(3, 4).run(tamper=other_subjects)


def test_a_provider_says_who_may_be_asked_after_it() -> None:
    """Who comes later could decrypt what it made, with the bank: so the order is not the bank's alone."""
    for after, refuses in (((), True), (("social",), True), (("social", "water"), False)):
        town = Town.random(3, 2, changes={"after": frozenset(after)})
        first = town.provider(0)
        town.changes = {}
        roles = {name: town.provider(place) for place, name in enumerate(town.names)} | {NAMES[0]: first}
        roles[BANK] = town.requester().steps(town.asked(), source())
        if refuses:
            with pytest.raises(RefusedError, match="SCORE_ORDER"):
                run_network(roles, insecure_in_process=True)
        else:
            assert run_network(roles, insecure_in_process=True).results[BANK].scored.all()


def test_more_providers_or_leaves_than_a_key_has_room_for_are_refused() -> None:
    with pytest.raises(BadPassage, match="SCORE_PASSAGE"):
        Town.random(4, 2, key=SMALL).run()
    town = Town.random(3, 2)
    parameters = SMALL.public.parameters
    small = dataclasses.replace(parameters, max_parties=2)
    assert Passage(parameters, 3, 8192).blocks == 1
    for parties, width in ((4, 10), (3, 8193), (0, 10), (1, 0)):
        with pytest.raises(BadPassage):
            Passage(parameters, parties, width)
    for parties, width in ((9, 10), (2, 16385)):
        with pytest.raises(BadPassage):
            type(parameters).least(parties, width)
    assert type(parameters).least(2, 9_000) == LARGE.public.parameters
    with pytest.raises(BadKey, match="other parameters"):
        dataclasses.replace(SMALL.public, parameters=small)
    with pytest.raises(ValueError, match="other providers"):
        dataclasses.replace(town.requester(), providers=town.requester().providers[:2])


def test_what_is_no_request_or_no_terms_is_refused() -> None:
    town = Town.random(2, 3)
    n = MAX_ROWS + 1
    with pytest.raises(DataError, match="SET_SIZE"):
        town.asked(codes=codes(n), consents=np.zeros((2, n, 32), np.uint8))
    with pytest.raises(DataError, match="ID_DUPLICATE"):
        town.asked(codes=codes(3)[[0, 0, 1]])
    with pytest.raises(ValueError, match="sides"):
        town.asked(sides=town.sides[0][:, :2])
    with pytest.raises(ValueError, match="own splits"):
        town.run(town.asked(sides=town.sides[0][1:]))
    for changes in ({"min_providers": 0}, {"max_rows": 0}, {"max_rows": MAX_ROWS + 1}):
        with pytest.raises(ConfigError, match="CONFIG_VALUE"):
            Town.random(2, 3, changes=changes).terms(0)
    with pytest.raises(RefusedError, match="SCORE_MAP"):
        Town.random(2, 3, changes={"splits": 1}).terms(0)
    town.sides[1] = town.sides[1][1:]
    with pytest.raises(ValueError, match="sides"):
        Town.run(dataclasses.replace(town, changes={"splits": 1_000}))


def test_leaves_too_large_for_the_error_that_is_allowed_are_refused() -> None:
    town = Town.random(1, 2)
    trees = tuple(dataclasses.replace(tree, leaf_value=tree.leaf_value * 1e4) for tree in town.trees)
    with pytest.raises(ConfigError, match="SCORE_RANGE"):
        TreesModel(MODEL, LeafMap.of(trees, town.foreign, 1, bytes(32)), 0.0)
    with pytest.raises(ValueError, match="32"):
        TreesModel(b"", town.leaves, 0.0)


def test_a_map_says_nothing_of_weights_and_its_order_follows_from_a_secret() -> None:
    town = Town.random(2, 2)
    doubled = tuple(dataclasses.replace(tree, leaf_value=2 * tree.leaf_value) for tree in town.trees)
    maps = [LeafMap.of(trees, town.foreign, 2, bytes(32)) for trees in (town.trees, doubled)]
    told = [[TreesMap.of(MODEL, conditions).encode() for conditions in of.conditions] for of in maps]
    assert told[0] == told[1]
    other = LeafMap.of(town.trees, town.foreign, 2, b"k" * 32)
    assert TreesMap.of(MODEL, other.conditions[0]).encode() != told[0][0]
    assert len(other) == len(maps[0]) < sum(tree.n_splits + 1 for tree in town.trees)
    decoded = TreesMap.decode(told[0][0]).conditions()
    for name in ("first", "bit", "value"):
        assert (getattr(decoded, name) == getattr(maps[0].conditions[0], name)).all()


def test_trees_of_other_parties_and_of_the_bank_alone_are_refused() -> None:
    rng = np.random.default_rng(1)
    tree = random_tree(5, 3, rng)
    strange = dataclasses.replace(tree, owner=np.full(5, 4, np.int32))
    with pytest.raises(ValueError, match="none of the providers"):
        LeafMap.of((strange,), (np.arange(5),), 3, bytes(32))
    own = dataclasses.replace(tree, owner=np.zeros(5, np.int32))
    with pytest.raises(ValueError, match="no provider"):
        LeafMap.of((own,), (np.arange(5),), 3, bytes(32))


def test_a_map_that_is_none_is_not_even_read() -> None:
    told = TreesMap.of(MODEL, Town.random(2, 2).leaves.conditions[0])
    for change in (
        {"counts": told.counts[:0]},
        {"counts": told.counts + np.uint8(1)},
        {"left": told.left + np.uint8(2)},
        {"left": told.left[:-1]},
        {"splits": told.splits + np.uint32(1 << 16)},
    ):
        with pytest.raises(MessageInvalid):
            dataclasses.replace(told, **change)
    many = Conditions(np.array([0, 300], np.uint32), np.zeros(300, np.uint32), np.ones(300, np.uint8))
    with pytest.raises(MessageInvalid, match="more than 255"):
        TreesMap.of(MODEL, many)


def test_a_key_travels_as_a_record_and_what_is_none_is_refused() -> None:
    for key in KEYS.values():
        record = TreesKey.of(key.public)
        again = TreesKey.decode(record.encode()).key()
        assert again.fingerprint == key.public.fingerprint
        assert SecretKey.from_bytes(key.to_bytes(), again).to_bytes() == key.to_bytes()
        changed = (
            {"owner": "rival"},
            {"name": "other"},
            {"ends": record.ends + 1},
            {"seed": bytes(32)},
        )
        prints = {dataclasses.replace(record, **change).key().fingerprint for change in changed}
        assert len(prints | {again.fingerprint}) == 5
        bad = (
            {"parameters": "paillier"},
            {"parameters": next(name for name in PARAMETERS if name != record.parameters)},
            {"b": record.b[:-1]},
            {"b": np.zeros_like(record.b)},
            {"b": np.full_like(record.b, 255)},
            {"owner": ""},
            {"begins": record.ends},
        )
        for change in bad:
            with pytest.raises(BadKey):
                dataclasses.replace(record, **change).key()
    with pytest.raises(BadKey, match="another record"):
        SecretKey.from_bytes(bytes(32), SMALL.public)
    with pytest.raises(BadKey, match="31 bytes"):
        SecretKey.from_bytes(bytes(31), SMALL.public)
    assert SMALL.to_bytes().hex() not in repr(SMALL)
    assert PublicKey.__name__ in repr(SMALL.public)


def test_under_another_key_nothing_is_an_answer() -> None:
    other = SecretKey.generate("bank", "x", HOLDS, SMALL.public.parameters, insecure_seeded(8))
    passage, everything = (
        Passage(SMALL.public.parameters, 1, 40),
        Conditions(np.zeros(41, np.uint32), np.empty(0, np.uint32), np.empty(0, np.uint8)),
    )
    values = np.arange(200, dtype=np.int64).reshape(5, 40)
    bits, released = np.zeros((5, 1), np.uint8), np.ones(5, bool)
    answers = [
        key.public.keep(
            passage.read(0, 5, SMALL.encrypt(passage, values, source())), everything, bits, released, source()
        )
        for key in (SMALL, other)
    ]
    sums, sound = SMALL.open(passage, 5, answers[0])
    assert sound.all()
    assert (sums == values.sum(axis=1)).all()
    assert not other.open(passage, 5, answers[0])[1].any()
    assert not SMALL.open(passage, 5, answers[1])[1].any()


def test_an_answer_to_the_same_is_another_each_time_and_as_large_whatever_is_kept() -> None:
    passage = Passage(SMALL.public.parameters, 1, 256)
    every = Conditions(np.arange(257, dtype=np.uint32), np.arange(256, dtype=np.uint32), np.ones(256, np.uint8))
    content = SMALL.encrypt(passage, np.zeros((32, 256), np.int64), source())
    for kept in (np.zeros((32, 256), np.uint8), np.ones((32, 256), np.uint8)):
        answers = [
            bytes(
                SMALL.public.keep(passage.read(0, 32, content), every, kept, np.ones(32, bool), insecure_seeded(seed))
            )
            for seed in (1, 2)
        ]
        words = [np.frombuffer(answer, np.uint8).reshape(-1, 6) for answer in answers]
        # Two draws agree in a word of the second part with a probability of 2^-48, and in one of the first of 2^-9.
        assert (words[0] == words[1]).all(axis=1).sum() < 8
        assert all((SMALL.open(passage, 32, answer)[0] == 0).all() for answer in answers)
        assert {len(answer) for answer in answers} == {kernel.answer_bytes(8192, 32)}


def test_a_pair_key_that_is_none_is_found_before_anybody_is_asked() -> None:
    town = Town.random(2, 2)
    bad = (Member("tax", bytes(32)), *town.requester().providers[1:])
    with pytest.raises(BadKey):
        next(dataclasses.replace(town.requester(), providers=bad).steps(town.asked(), source()))
    stranger = PairKey.generate(insecure_seeded(5))
    strange = (Member("tax", stranger.public), *town.requester().providers[1:])
    roles = {name: town.provider(place) for place, name in enumerate(town.names)}
    asking = dataclasses.replace(town.requester(), providers=strange).steps(town.asked(), source())
    with pytest.raises(FedcreditError, match="SCORE_PROVIDERS"):
        run_network({BANK: asking, **roles}, insecure_in_process=True)
