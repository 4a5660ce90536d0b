from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pytest
from aeon.benchmarking.resampling import stratified_resample_data
from aeon.datasets import load_classification
from sklearn.model_selection import train_test_split

from vlm_tsc.archive import load
from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import Splits, holdout, official, parse_split, training_cases
from vlm_tsc.errors import InputError


@pytest.fixture(scope="module")
def italy():
    return load_classification("ItalyPowerDemand", "train"), load_classification("ItalyPowerDemand", "test")


def rows(labels, value=1):
    return "".join(f"{label},{i},{value},2\n" for i, label in enumerate(labels))


def test_official_is_the_sources_split_in_its_order(italy):
    splits = load("ItalyPowerDemand")
    (X_train, y_train), (X_test, y_test) = italy
    np.testing.assert_array_equal(splits.train.X, X_train)
    np.testing.assert_array_equal(splits.test.X, X_test)
    assert splits.train.y.tolist() == y_train.tolist() and splits.test.y.tolist() == y_test.tolist()
    assert splits.split == "official" and splits.validation is None  # 67 cases are too few to hold any out
    assert splits.train.class_names == ("1", "2") and splits.train.name == "ItalyPowerDemand"
    assert splits.train.ids[:2] == ("train-00000", "train-00001") and splits.test.ids[-1] == "test-01028"


def test_pooled_is_vlm_tscs_protocol_with_its_seeds(italy):
    (X_train, _), (X_test, _) = italy
    pool = np.concatenate([X_train, X_test])
    rest, test = train_test_split(pool, test_size=0.2, random_state=42)
    train, validation = train_test_split(rest, test_size=0.25, random_state=21)
    splits = load("ItalyPowerDemand", split="pooled", seed=5)
    np.testing.assert_array_equal(splits.train.X, train)
    np.testing.assert_array_equal(splits.validation.X, validation)
    np.testing.assert_array_equal(splits.test.X, test)
    assert splits.split == "pooled"


@pytest.mark.parametrize("k", [1, 7])
def test_resample_is_aeons(italy, k):
    (X_train, y_train), (X_test, y_test) = italy
    train, y, test, y_of_test = stratified_resample_data(X_train, y_train, X_test, y_test, random_state=k)
    splits = load("ItalyPowerDemand", split=f"resample:{k}")
    np.testing.assert_array_equal(splits.train.X, train)
    np.testing.assert_array_equal(splits.test.X, test)
    assert splits.train.y.tolist() == y.tolist() and splits.test.y.tolist() == y_of_test.tolist()


def test_resample_0_is_the_official_split():
    first, zeroth = load("ItalyPowerDemand"), load("ItalyPowerDemand", split="resample:0")
    assert zeroth.train.ids == first.train.ids and zeroth.test.ids == first.test.ids
    assert zeroth.split == "resample:0"


@pytest.mark.parametrize("split", ["official", "pooled", "resample:3"])
def test_splits_share_no_case_and_ids_lead_to_the_source(split):
    original = load("ItalyPowerDemand")
    source = dict(zip(original.train.ids + original.test.ids, [*original.train.X, *original.test.X], strict=True))
    splits = load("ItalyPowerDemand", split=split)
    parts = [part for part in (splits.train, splits.validation, splits.test) if part is not None]
    ids = [name for part in parts for name in part.ids]
    assert len(ids) == len(set(ids)) == len(source)
    for part in parts:
        assert all((source[name] == case).all() for name, case in zip(part.ids, part.X, strict=True))


def test_validation_is_a_fifth_of_train_where_there_is_enough():
    y = np.array(["a"] * 320 + ["b"] * 80 + ["a", "b"])
    indices = official(y, 400, seed=0)
    assert Counter(y[indices.validation].tolist()) == {"a": 64, "b": 16}
    assert sorted([*indices.train, *indices.validation]) == list(range(400)) and indices.test.tolist() == [400, 401]
    assert indices.validation.tolist() == official(y, 400, seed=0).validation.tolist()
    assert indices.validation.tolist() != official(y, 400, seed=1).validation.tolist()


def test_of_a_large_set_no_more_is_held_out_than_tells():
    indices = official(np.array(["a", "b"] * 5000), 9000, seed=0)
    assert len(indices.validation) == 400 and len(indices.train) == 8600


@pytest.mark.parametrize("labels", [["a"] * 200 + ["b"] * 199, ["a"] * 396 + ["b"] * 4])
def test_no_validation_where_train_is_too_small(labels):
    y = np.array([*labels, "a", "b"])
    indices = official(y, len(labels), seed=0)
    assert indices.validation is None and indices.train.tolist() == list(range(len(labels)))


def test_validation_never_sees_the_test_part():
    y = np.array(["a"] * 320 + ["b"] * 80 + ["a", "b", "b"])
    permuted = y.copy()
    permuted[400:] = ["b", "a", "a"]
    assert official(y, 400, 0).validation.tolist() == official(permuted, 400, 0).validation.tolist()


def test_one_file_is_held_out_60_20_20(own_file):
    path = own_file("steps.csv", rows(["walk"] * 50 + ["run"] * 25))
    splits = load(path)
    assert splits.split == "holdout:0" and splits.train.name == "steps"
    assert splits.train.counts == {"run": 15, "walk": 30}
    assert splits.validation.counts == splits.test.counts == {"run": 5, "walk": 10}
    ids = splits.train.ids + splits.validation.ids + splits.test.ids
    assert sorted(ids) == [f"case-{i:05d}" for i in range(75)]
    assert load(path, seed=3).test.ids == splits.test.ids == load(path, split="holdout:0").test.ids
    other = load(path, split="holdout:7")
    assert other.split == "holdout:7" and other.test.ids != splits.test.ids


@pytest.mark.parametrize(
    ("n", "sizes"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (4, (2, 1, 1)), (10, (6, 2, 2))]
)
def test_small_classes_keep_a_training_case(n, sizes):
    y = np.array(["a"] * 10 + ["b"] * n)
    parts = holdout(y, 0)
    assert tuple(int((y[part] == "b").sum()) for part in (parts.train, parts.validation, parts.test)) == sizes


def test_a_class_of_one_case_trains_with_a_warning(own_file, caplog):
    with caplog.at_level(logging.WARNING):
        splits = load(own_file("t.csv", rows(["a"] * 10 + ["rare"] + ["b"] * 10)))
    assert splits.train.counts["rare"] == 1 and splits.test.counts["rare"] == 0
    assert "single training case: rare" in caplog.text


def test_a_class_of_the_test_part_alone_is_warned_about(own_file, caplog):
    train, test = own_file("r_TRAIN.csv", rows("aabb")), own_file("r_TEST.csv", rows("abc"))
    with caplog.at_level(logging.WARNING):
        splits = load(train, test=test)
    assert splits.train.class_names == ("a", "b", "c") and splits.train.counts["c"] == 0
    assert "without a training case" in caplog.text and caplog.text.rstrip().endswith(": c")
    assert splits.split == "official" and splits.train.name == "r"


def test_class_names_in_numeric_order_with_those_of_the_header(own_file):
    head = "@classLabel true 10 9 -1 2\n@data\n"
    train = own_file("t_TRAIN.ts", head + "1,2:10\n1,3:9\n")
    splits = load(train, test=own_file("t_TEST.csv", "9,1,2\n-1,3,4\n"))
    assert splits.train.class_names == splits.test.class_names == ("-1", "2", "9", "10")
    wrong = own_file("w_TRAIN.ts", "@classLabel true TEN NINE\n@data\n1,2:10\n1,3:9\n")
    assert load(wrong, test=own_file("w_TEST.csv", "9,1,2\n")).train.class_names == ("9", "10")


def test_labels_that_are_equal_as_numbers_stay_apart(own_file):
    assert load(own_file("t.csv", rows(["1", "1.0", "-1"] * 5))).train.class_names == ("-1", "1", "1.0")


@pytest.mark.parametrize(
    "split", ["offical", "resample", "resample:-1", "resample:x", "holdout:", "holdout:4294967296", "pooled:1", ""]
)
def test_an_unknown_split_is_refused(split):
    with pytest.raises(InputError, match=r"(?s)--split.*official, pooled, resample:K, holdout:SEED"):
        parse_split(split)


def test_splits_that_the_files_do_not_allow(own_file):
    one, other = own_file("one.csv", rows("aabb")), own_file("other.csv", rows("abab"))
    for split in ("pooled", "resample:1"):
        with pytest.raises(InputError, match=r"(?s)no test part.*--test FILE, or --split holdout:0"):
            load(one, split=split)
    with pytest.raises(InputError, match=r"(?s)has a test part.*holdout:1.*single file"):
        load(one, test=other, split="holdout:1")
    with pytest.raises(InputError, match=r"(?s)every class in both.*resample:1.*: c"):
        load(one, test=own_file("c.csv", rows("abc")), split="resample:1")


def test_one_class_is_refused(own_file):
    with pytest.raises(InputError, match=r"(?s)of one class.*t\.csv.*only a, in 6 cases.*at least 2"):
        load(own_file("t.csv", rows("a" * 10)))
    with pytest.raises(InputError, match="of one class"):
        load(own_file("t.csv", rows("aa")), test=own_file("u.csv", rows("ab")))
    with pytest.raises(InputError, match="too few cases"):
        load(own_file("t.csv", rows("abc")))


def test_parts_that_do_not_belong_together_are_refused(own_file):
    train = own_file("t.csv", rows("ab"))
    with pytest.raises(InputError, match=r"(?s)no label of the test part.*test 1, 2; train a, b"):
        load(train, test=own_file("u.csv", rows("12")))
    two = own_file("two.ts", "@classLabel true a b\n@data\n1,2:3,4:a\n")
    with pytest.raises(InputError, match=r"(?s)number of channels.*two\.ts.*2 channels.*1, as in"):
        load(train, test=two)
    with pytest.raises(InputError, match="same file"):
        load(train, test=train)


@pytest.mark.parametrize("lengths", [[9] * 10, list(range(9, 19))])
def test_carved_validation_cases_train_in_the_sources_order(lengths):
    X = [np.full((1, length), float(i)) for i, length in enumerate(lengths)]
    equal = len(set(lengths)) == 1
    y, ids = np.array(["a", "b"] * 5), tuple(f"train-{i:05d}" for i in range(10))
    whole = SeriesSet(np.stack(X) if equal else X, y, ("a", "b"), "Made", ids)
    train, validation = whole.select([0, 1, 3, 4, 6, 7, 9]), whole.select([2, 5, 8])
    for split in ("official", "resample:3"):
        joined = training_cases(Splits(train, validation, whole, split))
        assert joined.ids == whole.ids and (joined.y == whole.y).all()
        assert all((a == b).all() for a, b in zip(joined.X, whole.X, strict=True))
        assert type(joined.X) is type(whole.X)
    for split in ("pooled", "holdout:0"):
        assert training_cases(Splits(train, validation, whole, split)) is train
    assert training_cases(Splits(train, None, whole, "official")) is train
