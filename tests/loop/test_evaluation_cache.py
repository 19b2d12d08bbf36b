from __future__ import annotations

from legoloop.loop.evaluation_cache import EvaluationCache
from legoloop.loop.host import TrainingHost
from tests.loop.tiny_plugins import Drive, Epochs


def test_a_pass_is_computed_once_for_each_version_of_the_weights():
    cache, computed = EvaluationCache(), []

    def compute():
        computed.append(1)
        return len(computed)

    assert [cache.get("val", version, compute) for version in (0, 0, 1, 0)] == [1, 1, 2, 1]
    assert cache.get("test", 0, compute) == 3


def test_results_for_older_weights_are_dropped():
    cache = EvaluationCache()
    for version in range(3):
        cache.get("val", version, object)
    cache.drop_older(2)
    assert len(cache) == 1
    cache.clear()
    assert len(cache) == 0


def test_a_host_hands_one_cache_to_all_of_its_plugins_that_take_one():
    class Evaluates:
        def use_evaluation_cache(self, cache):
            self.cache = cache

        def epoch_end(self): ...

    def caches_of_a_run():
        first, second = Evaluates(), Evaluates()
        TrainingHost([Drive(), Epochs(), first, second])
        return {first.cache, second.cache}

    assert len(caches_of_a_run()) == 1
    assert caches_of_a_run().isdisjoint(caches_of_a_run())
