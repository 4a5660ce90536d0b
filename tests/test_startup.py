"""What is set up while libraries are imported: Python's collector, and for how long torch's threads wait."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import pytest

from vlm_tsc.classify.llava import LlavaClassifier
from vlm_tsc.errors import InputError
from vlm_tsc.startup import collection_paused


@pytest.fixture(params=[True, False], ids=["on", "off"])
def collector(request):
    """Whether the collector is on before."""
    was_on = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if was_on else gc.disable)()


def test_it_is_off_inside_and_afterwards_as_before(collector):
    with collection_paused(), collection_paused():
        assert not gc.isenabled()
    assert gc.isenabled() is collector


def test_it_is_as_before_also_where_loading_fails(collector, tmp_path):
    with pytest.raises(InputError):
        LlavaClassifier.load(tmp_path)
    assert gc.isenabled() is collector


def test_garbage_made_inside_is_found_later(collector):
    class Node:
        """What is collected is not there any more."""

    with collection_paused():
        node = Node()
        node.own = node
        left = weakref.ref(node)
        del node
    assert left() is not None
    gc.collect()
    assert left() is None


def test_what_was_frozen_stays_frozen(collector):
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        with collection_paused():
            pass
        assert gc.get_freeze_count() >= before - 1000  # the interpreter frees single ones itself
    finally:
        gc.unfreeze()


def test_a_decorated_function_is_paused_at_every_call(collector):
    paused = collection_paused()(gc.isenabled)
    assert not paused() and not paused() and gc.isenabled() is collector


@pytest.mark.skipif(sys.platform != "linux", reason="torch has libgomp there alone")
@pytest.mark.parametrize(
    ("given", "turns"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "77"}, "77"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "30000000000")],
    ids=["by default", "as was said", "as a policy says"],
)
def test_torchs_threads_do_not_wait_long_unless_told_to(given, turns):
    ours = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environment = {**ours, **given, "OMP_DISPLAY_ENV": "VERBOSE"}
    done = subprocess.run(
        [sys.executable, "-c", "import vlm_tsc, torch"], env=environment, capture_output=True, text=True
    )
    assert f"GOMP_SPINCOUNT = '{turns}'" in done.stderr
