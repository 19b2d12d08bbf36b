from __future__ import annotations

import copy
import inspect
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import legoloop as ll
from legoloop.app.evaluate import evaluate
from legoloop.core.nested import detached
from tests.contracts.test_ranks import largest_difference
from tests.models_of_others import (
    Detector,
    Inception,
    Perceptron,
    Reader,
    ResNet,
    Segmentation,
    resnet,
)
from tests.ranks import train, train_alone
from tests.tiny import weights
from tests.training.step.test_compile import needs_a_compiler

STEPS = {"steps": torch.ones(2, 5, 3), "scale": torch.ones(2), "image": torch.ones(2, 3, 8, 8)}


def shapes(outputs: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in outputs.items()}


@pytest.mark.parametrize(
    ("model", "inputs", "output", "expected"),
    [
        (ResNet(), ["image"], "logits", {"logits": (2, 10)}),
        (ResNet(), "image", ["logits"], {"logits": (2, 10)}),
        (ResNet(), {"x": "image"}, "logits", {"logits": (2, 10)}),
        (Inception(), ["image"], None, {"logits": (2, 10), "aux_logits": (2, 10)}),
        (Inception(), ["image"], "logits", {"logits": (2, 10)}),
        (Inception().eval(), ["image"], "logits", {"logits": (2, 10)}),
        (Segmentation(), ["image"], {"logits": "out"}, {"logits": (2, 10, 8, 8)}),
        (Segmentation(), ["image"], ["aux", "out"], dict.fromkeys(["aux", "out"], (2, 10, 8, 8))),
        (Reader(), ["steps", "scale"], ["states"], {"states": (2, 5, 10)}),
        (Reader(), {"scale": "scale", "steps": "steps"}, {"h": 0}, {"h": (2, 5, 10)}),
        (Detector(), {"x": "pairs"}, None, {"centres": (2, 2), "sizes": (2, 2)}),
    ],
)
def test_the_entries_of_a_batch_go_in_and_named_outputs_come_out(
    model: nn.Module, inputs: Any, output: Any, expected: Any
) -> None:
    adapted = ll.adapted_model(model, inputs, output)
    assert shapes(adapted({**STEPS, "pairs": torch.ones(2, 2), "idx": [1, 2]})) == expected


def test_none_in_a_list_leaves_a_value_out() -> None:
    adapted = ll.adapted_model(Reader(), ["steps", "scale"], [None, "state"])
    assert list(adapted(STEPS)) == ["state"]


def test_it_stays_the_model_that_it_is() -> None:
    model = ResNet()
    before = {name: id(value) for name, value in model.state_dict(keep_vars=True).items()}
    adapted = ll.adapted_model(model, ["image"], "logits")
    assert adapted is model
    assert isinstance(adapted, ResNet)
    assert (type(adapted).__name__, type(adapted).__module__) == ("ResNet", ResNet.__module__)
    after = {name: id(value) for name, value in model.state_dict(keep_vars=True).items()}
    assert after == before
    assert list(inspect.signature(adapted.forward).parameters) == ["x"]
    image = STEPS["image"]
    assert torch.equal(adapted.eval()(image), adapted({"image": image})["logits"])
    assert torch.equal(adapted(x=image), adapted._forward_impl(image))
    assert not hasattr(ResNet(), "_legoloop_names"), "the class itself is left alone"


def test_copies_and_pickles_are_models_of_their_own() -> None:
    adapted = ll.adapted_model(ResNet(), ["image"], "logits").eval()
    saved = io.BytesIO()
    torch.save(adapted, saved)
    saved.seek(0)
    others = [
        copy.deepcopy(adapted),
        pickle.loads(pickle.dumps(adapted)),
        torch.load(saved, weights_only=False),
    ]
    expected = adapted(STEPS)["logits"]
    for other in others:
        assert type(other) is type(adapted)
        assert torch.equal(other(STEPS)["logits"], expected)
    with torch.no_grad():
        adapted.fc.bias.add_(1)  # type: ignore[union-attr, operator]
    assert all(torch.equal(other(STEPS)["logits"], expected) for other in others)


def test_two_of_a_class_have_names_of_their_own() -> None:
    one = ll.adapted_model(ResNet(), ["image"], "a")
    other = ll.adapted_model(ResNet(), ["image"], "b")
    assert [*one(STEPS), *other(STEPS)] == ["a", "b"]


class ByHand(ResNet):
    """The same model, written for legoloop."""

    def forward(self, batch: Any) -> Any:
        return {"logits": self._forward_impl(batch["image"])}


def trained(model: nn.Module, **settings: Any) -> bytes:
    """The final weights, averaged ones too, of a short training with an evaluation."""
    columns = {
        "image": torch.randn(10, 3, 8, 8, generator=torch.Generator().manual_seed(0)),
        "target": torch.arange(10),
    }
    stream = ll.BatchStream(ll.ColumnDataset(columns), "train", 0, ll.LoaderConfig(batch_size=4))
    counter, feed = ll.Counter(), ll.Feed(model, "cpu")
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    descent = ll.GradientDescent(
        opt, model, feed, lambda b, o: cross_entropy(o["logits"], b["target"]), **settings
    )
    average = ll.ExponentialMovingAverage(descent, decay=0.5)
    ll.TrainingHost(
        [counter, ll.SimpleEpoch(stream), descent, average, ll.LastEpoch(counter, 2)], seed=0
    ).run()
    return weights(model)


def seeded(make: Any) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = make()
    return model


@pytest.mark.parametrize("settings", [{}, {"micro_batch_size": 3}])
def test_it_trains_to_the_bits_of_one_that_takes_batches(settings: Any) -> None:
    """Averaged weights too: the average calls a copy."""
    adapted = ll.adapted_model(seeded(resnet), ["image"], "logits")
    assert trained(adapted, **settings) == trained(seeded(ByHand), **settings)


@needs_a_compiler
@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # torch's own, of several kinds
def test_it_is_compiled() -> None:
    def final(**settings: Any) -> list[float]:
        model = seeded(lambda: Perceptron(3 * 8 * 8))
        trained(ll.adapted_model(model, {"input": "image"}, "logits"), **settings)
        return [value for weight in model.parameters() for value in weight.flatten().tolist()]

    assert final(compile=True) == pytest.approx(final(), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_several_ranks_train_it(tmp_path: Path, parallel: str) -> None:
    """With an average: that of a sharded model is a copy of a class that torch has changed too."""
    given = [
        *("data=digits", "num_epochs=1", "epoch_size=200", "model=adapted", "loggers=[]"),
        "model.module={_target_: tests.models_of_others.Perceptron, features: 64}",
        *("model.inputs=[image]", "plugins=[default,checkpoints,ema]", f"parallel={parallel}"),
    ]
    train_alone(tmp_path / "one", given)
    train(tmp_path / "two", given, ranks=2)
    assert largest_difference(tmp_path / "one", tmp_path / "two") <= 1e-5


def test_it_is_exported() -> None:
    adapted = ll.adapted_model(ResNet(), ["image"], "logits").eval()
    batch = {"image": STEPS["image"]}
    program = torch.export.export(adapted, (batch,)).module()
    torch.testing.assert_close(program(batch)["logits"], adapted(batch)["logits"])


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["image", "mask"], None, "does not fit ResNet.forward: too many positional arguments"),
        ({"y": "image"}, None, "missing a required argument: 'x'; there are x"),
        ({"x": "image", "xx": "image"}, None, "unexpected keyword argument 'xx'; did you mean x"),
        ([], None, r"inputs is \[\]; give entries of the batch"),
        (3, None, "inputs is 3; give entries of the batch"),
        (["image"], 3, "output is 3; give a name, a list of names"),
        (["image"], [], r"output is \[\]; give a name"),
        (["image"], {"logits": None}, "output is {'logits': None}; give a name"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(inputs: Any, output: Any, message: str) -> None:
    with pytest.raises(ll.ArgumentError, match=message):
        ll.adapted_model(ResNet(), inputs, output)


def given_another_forward(model: nn.Module) -> nn.Module:
    """As torch.compile and other libraries do."""
    model.forward = lambda x: x  # type: ignore[method-assign]
    return model


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.functional.relu, "is of type function; give a torch.nn.Module"),
        (given_another_forward(nn.Linear(1, 1)), "is a Linear, which was compiled, scripted or"),
        (ll.adapted_model(nn.Linear(1, 1), "x"), "is adapted already"),
    ],
)
def test_what_is_no_plain_model_is_refused(module: Any, message: str) -> None:
    with pytest.raises(ll.ArgumentError, match=message):
        ll.adapted_model(module, ["x"])


@pytest.mark.parametrize(
    ("model", "inputs", "output", "message"),
    [
        (ResNet(), ["imag"], "logits", "the batch has no 'imag'; did you mean image"),
        (ResNet(), ["image"], None, "what a ResNet returned is a Tensor; give its name, output=…"),
        (ResNet(), ["image"], ["a", "b"], "returned is a Tensor; give its name"),
        (Reader(), ["steps", "scale"], "y", r"is a tuple of 2; give the names .* output=\[…\]"),
        (Reader(), ["steps", "scale"], ["a", "b", "c"], "looks for 'c' at 2; give the names"),
        (Segmentation(), ["image"], "logits", "returned has no 'logits'; there are out, aux"),
    ],
)
def test_what_cannot_be_named_is_said_at_the_first_batch(
    model: nn.Module, inputs: Any, output: Any, message: str
) -> None:
    with pytest.raises(ll.DataError, match=message):
        ll.adapted_model(model, inputs, output)(STEPS)


def test_it_is_chosen_in_a_configuration_loaded_and_evaluated(tmp_path: Path) -> None:
    """As a nested node; what is in the files has the names of the model itself."""
    module = (
        "{_target_: tests.models_of_others.create_model, model_name: vit_tiny, num_classes: 10}"
    )
    pictures = "legoloop.NamedDataset"
    app = ll.compose(
        [
            *("model=adapted", f"model.module={module}", "model.inputs={x: image}"),
            *("num_epochs=1", "loggers=[]", f"hydra.run.dir={tmp_path}/run"),
            *("data.model_kwargs=[]", "plugins=[default,checkpoints,ema]"),
            *(f"data.datasets.{name}._target_={pictures}" for name in ("train", "val")),
            *(f"~data.datasets.{name}.train" for name in ("train", "val")),
            *(
                f"+data.datasets.{name}.dataset={{_target_: tests.models_of_others.Pictures, "
                f"train: {train}}}"
                for name, train in (("train", True), ("val", False))
            ),
            *(f"+data.datasets.{name}.names=[image,target]" for name in ("train", "val")),
        ]
    )
    app.host().run()
    loaded = ll.load(tmp_path / "run")
    names = list(torch.load(tmp_path / "run" / "weights"))
    assert (names[0], names[-1]) == ("cls_token", "head.bias")
    with torch.no_grad():
        features = loaded.forward_features(STEPS["image"])  # type: ignore[operator]
        expected = loaded.forward_head(features)  # type: ignore[operator]
        assert torch.equal(loaded({"image": STEPS["image"]})["logits"], expected)
    evaluated = evaluate(tmp_path / "run", on=["val"], output=tmp_path / "again")
    measured = app.loaders_metrics().scalars()["final/val/accuracy"]
    assert evaluated.scalars["final/val/accuracy"] == measured


class TestTransformers:
    """Tiny models of transformers, made here."""

    IDS = torch.tensor([[1, 5, 6], [1, 7, 0]])

    @pytest.fixture
    def transformers(self) -> Any:
        return pytest.importorskip("transformers")

    @pytest.fixture
    def tokenizer(self, transformers: Any) -> Any:
        tokenizers = pytest.importorskip("tokenizers")
        words = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "a", "b", "c"])}
        made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
        made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        special = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
        return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **special)

    def bert(self, transformers: Any) -> nn.Module:
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=10,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            num_labels=3,
        )
        model: nn.Module = transformers.BertForSequenceClassification(config)
        return model.eval()

    def test_keywords_go_in_and_an_entry_of_its_output_comes_out(self, transformers: Any) -> None:
        plain = self.bert(transformers)
        inputs = {"input_ids": "ids", "attention_mask": "mask"}
        adapted = ll.adapted_model(self.bert(transformers), inputs, "logits")
        batch = {"ids": self.IDS, "mask": self.IDS > 0, "target": torch.zeros(2)}
        outputs = adapted(batch)
        expected = plain(input_ids=self.IDS, attention_mask=self.IDS > 0).logits
        assert list(outputs) == ["logits"]
        assert torch.equal(outputs["logits"], expected)
        assert list(adapted.state_dict()) == list(plain.state_dict())

    def test_its_own_loss_is_an_output(self, transformers: Any) -> None:
        inputs = {"input_ids": "ids", "labels": "target"}
        adapted = ll.adapted_model(self.bert(transformers), inputs, ["loss", "logits"])
        batch = {"ids": self.IDS, "target": torch.tensor([0, 2])}
        outputs = adapted(batch)
        assert torch.equal(outputs["loss"], cross_entropy(outputs["logits"], batch["target"]))
        assert list(ll.adapted_model(self.bert(transformers), inputs)(batch)) == ["loss", "logits"]

    def test_what_it_returns_is_widened_and_detached_inside(self, transformers: Any) -> None:
        output = self.bert(transformers)(self.IDS)
        assert type(detached(output)) is type(output)
        assert not detached(output).logits.requires_grad

    def test_it_generates_and_a_tokenizer_makes_its_batches(
        self, transformers: Any, tokenizer: Any
    ) -> None:
        config = transformers.GPT2Config(
            vocab_size=len(tokenizer), n_positions=8, n_embd=8, n_layer=1, n_head=2,
            bos_token_id=None, eos_token_id=None, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        inputs = {"input_ids": "input_ids", "attention_mask": "attention_mask"}
        model = ll.adapted_model(transformers.GPT2LMHeadModel(config), inputs, "logits")
        texts = [{"text": "a b c"}, {"text": "c"}]
        tokens = tokenizer([each["text"] for each in texts], padding=True, return_tensors="pt")
        assert model(tokens)["logits"].shape == (2, 3, len(tokenizer))
        said = model.eval().generate(**tokens, max_new_tokens=2)  # type: ignore[operator]
        assert said.shape == (2, 5)
