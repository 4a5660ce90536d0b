from __future__ import annotations

import importlib
import logging

import pytest

from vlm_tsc.evaluate.published import published

module = importlib.import_module("vlm_tsc.evaluate.published")  # the package's `published` is the function


@pytest.fixture(autouse=True)
def _nothing_is_kept():
    """Neither of tests that ran before in this process, nor for those that come after."""
    _forget()
    yield
    _forget()


def _forget():
    module._of.cache_clear()
    module._tables.cache_clear()


def test_accuracies_of_the_official_split_best_first():
    found = published("ItalyPowerDemand", "official", n_test=1029)
    assert found["InceptionTime"] == pytest.approx(994 / 1029)  # 0.9660
    assert found["HIVE-COTE 2"] == pytest.approx(998 / 1029)  # 0.9699
    assert {"FreshPRINCE", "WEASEL 2.0"} <= set(found)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert published("TwoLeadECG", "official", n_test=1139)["InceptionTime"] == pytest.approx(0.9956, abs=5e-5)


@pytest.mark.parametrize("split", ["pooled", "resample:0", "holdout:0"])
def test_no_other_split_has_any(split):
    assert published("ItalyPowerDemand", split, n_test=1029) == {}


def test_an_unknown_or_incomplete_set_has_none(caplog):
    assert published("NoSuchSet", "official", n_test=10) == {}
    assert published("ItalyPowerDemand", "official", n_test=1029, complete=False) == {}
    with caplog.at_level(logging.WARNING):
        assert published("ItalyPowerDemand", "official", n_test=1000) == {}  # no whole numbers of cases
        published("ItalyPowerDemand", "official", n_test=1000)
    assert caplog.text.count("another test part") == 1  # a report asks several times


def test_an_aeon_without_result_files_is_said(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(module, "_folder", lambda: tmp_path)
    with caplog.at_level(logging.WARNING):
        assert published("ItalyPowerDemand", "official", n_test=1029) == {}
    assert "no result files" in caplog.text
