from __future__ import annotations

from legoloop.loop.plugin import TrainingPlugin
from legoloop.loop.stages import Stage
from legoloop.loop.step import Step


def test_every_stage_of_the_base_class_does_nothing():
    plugin = TrainingPlugin()
    for stage in Stage:
        given = (Step(),) if stage.takes_step else ()
        assert getattr(plugin, stage)(*given) is None
    assert vars(plugin) == {}
