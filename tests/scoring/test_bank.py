"""The memory bank keeps names, domains and rows together through every operation."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot.errors import ParameterError
from firstshot.scoring.bank import (
    Member,
    MemoryBank,
    add,
    keep_rows,
    make_bank,
    memmixup,
    merge,
    mixture_parents,
    remove,
)


def _bank(source: int = 6, target: int = 3, dim: int = 4, seed: int = 0) -> MemoryBank:
    generator = np.random.default_rng(seed)
    return merge(
        make_bank(
            generator.normal(size=(source, dim)), [f"s{i}.wav" for i in range(source)], "source"
        ),
        make_bank(
            generator.normal(size=(target, dim)), [f"t{i}.wav" for i in range(target)], "target"
        ),
    )


def _content(bank: MemoryBank) -> dict[Member, tuple[float, ...]]:
    return {
        member: tuple(row.tolist())
        for member, row in zip(bank.members, bank.embeddings, strict=True)
    }


def test_arrays_and_names_are_aligned_per_domain():
    bank = _bank()
    content = _content(bank)
    for domain, array in bank.arrays().items():
        assert array.dtype == np.float32
        for name, row in zip(bank.names()[domain], array, strict=True):
            assert content[Member(name, domain)] == tuple(row.tolist())


def test_a_domain_without_members_is_an_empty_array_of_the_right_width():
    bank = make_bank(np.zeros((2, 5)), ["a", "b"], "source")
    assert bank.arrays()["target"].shape == (0, 5)
    assert bank.names()["target"] == ()


def test_adding_then_removing_gives_the_bank_back():
    bank = _bank()
    larger = add(bank, [[1.0, 2.0, 3.0, 4.0]], ["new.wav"], "target")
    assert len(larger) == len(bank) + 1
    assert _content(larger)[Member("new.wav", "target")] == (1.0, 2.0, 3.0, 4.0)
    assert _content(remove(larger, ["new.wav"])) == _content(bank)


def test_an_operation_leaves_the_bank_it_was_given_as_it_was():
    bank = _bank()
    before = _content(bank)
    add(bank, np.ones((1, 4)), ["new.wav"], "source")
    remove(bank, ["s1.wav", "t2.wav"])
    memmixup(bank)
    assert _content(bank) == before
    with pytest.raises(ValueError, match="read-only"):
        bank.embeddings[0, 0] = 1.0


def test_a_bank_does_not_follow_the_array_it_was_made_from():
    array = np.zeros((1, 2), dtype=np.float32)
    bank = make_bank(array, ["a.wav"], "source")
    array[:] = 9
    assert bank.embeddings.tolist() == [[0.0, 0.0]]


def test_a_name_may_be_in_both_domains_and_be_removed_from_one():
    bank = merge(make_bank([[1.0]], ["a.wav"], "source"), make_bank([[2.0]], ["a.wav"], "target"))
    assert remove(bank, ["a.wav"], "source").members == (Member("a.wav", "target"),)
    assert remove(bank, ["a.wav"], "target").members == (Member("a.wav", "source"),)
    assert len(remove(bank, ["a.wav"])) == 0


def test_a_name_twice_in_one_domain_is_an_error_that_names_it():
    bank = _bank()
    with pytest.raises(ParameterError, match=r"'s1\.wav' is in the source bank twice"):
        add(bank, np.ones((1, 4)), ["s1.wav"], "source")
    with pytest.raises(ParameterError, match=r"'x\.wav' is in the target bank twice"):
        make_bank(np.ones((2, 4)), ["x.wav", "x.wav"], "target")
    with pytest.raises(ParameterError, match=r"'s0\.wav' is in the source bank twice"):
        merge(bank, bank)


def test_what_does_not_fit_is_named():
    bank = _bank()
    with pytest.raises(ParameterError, match="4 and 3 values per clip"):
        add(bank, np.ones((1, 3)), ["new.wav"], "source")
    with pytest.raises(ParameterError, match=r"shape \(2, 3\) for 1 members"):
        make_bank(np.ones((2, 3)), ["a.wav"], "source")
    with pytest.raises(ParameterError, match=r"shape \(3,\) for 3 members"):
        make_bank(np.ones(3), ["a", "b", "c"], "source")
    with pytest.raises(ParameterError, match=r"'b\.wav' has a value that is not finite"):
        make_bank([[1.0], [np.nan]], ["a.wav", "b.wav"], "source")
    with pytest.raises(ParameterError, match="'noise' is not known"):
        make_bank([[1.0]], ["a.wav"], "noise")
    with pytest.raises(ParameterError, match=r"'s9\.wav' is not in the bank of 9 members"):
        remove(bank, ["s9.wav"])
    with pytest.raises(ParameterError, match=r"'s1\.wav' is not in the target bank of 3"):
        remove(bank, ["s1.wav"], "target")


def test_an_empty_bank_can_be_grown():
    bank = remove(make_bank([[1.0, 2.0]], ["a.wav"], "source"), ["a.wav"])
    assert len(bank) == 0
    assert _content(add(bank, [[3.0]], ["b.wav"], "source")) == {Member("b.wav", "source"): (3.0,)}


def test_memmixup_adds_every_pair_of_target_and_source():
    bank = _bank(source=5, target=2)
    mixed = memmixup(bank)
    assert mixed.names()["source"] == bank.names()["source"]
    assert len(mixed.names()["target"]) == 2 + 2 * 5
    content = _content(bank)
    for member, row in _content(mixed).items():
        if member in content:
            assert row == content[member]
            continue
        target, source = mixture_parents(member.clip)
        expected = 0.9 * np.array(content[Member(target, "target")]) + 0.1 * np.array(
            content[Member(source, "source")]
        )
        np.testing.assert_allclose(row, expected, rtol=1e-6)


def test_memmixup_with_n_mixes_only_the_nearest_source_members():
    # The target member at 10 is nearest to 9, 12 and 7 in that order.
    bank = merge(
        make_bank([[0.0], [7.0], [9.0], [12.0]], ["a", "b", "c", "d"], "source"),
        make_bank([[10.0]], ["t"], "target"),
    )
    for n, parents in ((1, ["c"]), (2, ["c", "d"]), (3, ["b", "c", "d"])):
        mixed = memmixup(bank, n=n, alpha=0.5)
        assert [mixture_parents(name)[1] for name in mixed.names()["target"][1:]] == parents
    assert memmixup(bank, n=1, alpha=0.5).arrays()["target"].tolist() == [[10.0], [9.5]]


def test_memmixup_finds_the_nearest_although_a_common_offset_hides_the_differences():
    offset = 1000.0
    bank = merge(
        make_bank([[offset + 0.5], [offset + 0.25]], ["far", "near"], "source"),
        make_bank([[offset]], ["t"], "target"),
    )
    assert mixture_parents(memmixup(bank, n=1).names()["target"][1]) == ("t", "near")


def test_memmixup_refuses_what_it_cannot_mix():
    bank = _bank(source=5, target=2)
    with pytest.raises(ParameterError, match="n is 6; MemMixup takes 1 to 5"):
        memmixup(bank, n=6)
    with pytest.raises(ParameterError, match=r"alpha is 1\.5"):
        memmixup(bank, alpha=1.5)
    with pytest.raises(ParameterError, match="the target bank is empty"):
        memmixup(make_bank([[1.0]], ["a"], "source"))
    with pytest.raises(ParameterError, match="is a mixture already"):
        memmixup(memmixup(bank))


def test_a_domain_whose_members_lie_side_by_side_is_a_view():
    bank = merge(
        make_bank([[0.0], [1.0]], ["a", "b"], "source"), make_bank([[2.0]], ["a"], "target")
    )
    for domain, array in bank.arrays().items():
        assert np.shares_memory(array, bank.embeddings)
        assert np.array_equal(array, bank.embeddings[bank.rows(domain)])
    mixed = keep_rows(bank, np.array([0, 2, 1]))
    assert mixed.arrays()["source"].tolist() == [[0.0], [1.0]]
    assert mixed.arrays()["target"].tolist() == [[2.0]]
