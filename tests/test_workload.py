"""The specs: the published tables, what they refuse, and a digest that changes exactly when it should."""

import copy
import dataclasses
import math

import pytest

import bench.workload
from bench.catalogue import load, names
from bench.errors import UsageError
from bench.layers import GRU, LSTM, CausalConv1D, Conv1D, Dense, Embedding, GlobalMaxPool1D, LastStep, MaxPool1D
from bench.workload import Reviews, RMSprop, Series, Workload

PUBLISHED = ("conv", "conv_gru", "conv_only")

# Output shapes and parameter counts: of the published ones as the book's notebook prints them, of the comparators by
# hand. LSTM: 4 gates of 32 units from 32 inputs, 32 states and a bias; GRU: 3 gates, from 14 inputs.
TABLES = {
    "conv": [
        ("embedding", (500, 128), 1_280_000),
        ("conv1d", (494, 32), 28_704),
        ("maxpool1d", (98, 32), 0),
        ("conv1d", (92, 32), 7_200),
        ("globalmaxpool1d", (32,), 0),
        ("dense", (1,), 33),
    ],
    "conv_only": [
        ("conv1d", (236, 32), 2_272),
        ("maxpool1d", (78, 32), 0),
        ("conv1d", (74, 32), 5_152),
        ("maxpool1d", (24, 32), 0),
        ("conv1d", (20, 32), 5_152),
        ("globalmaxpool1d", (32,), 0),
        ("dense", (1,), 33),
    ],
    "conv_gru": [
        ("conv1d", (236, 32), 2_272),
        ("maxpool1d", (78, 32), 0),
        ("conv1d", (74, 32), 5_152),
        ("gru", (32,), 6_240),
        ("dense", (1,), 33),
    ],
}
TABLES |= {
    "lstm": [
        ("embedding", (500, 32), 320_000),
        ("lstm", (32,), 4 * 32 * (32 + 32 + 1)),
        ("dense", (1,), 33),
    ],
    "gru": [("gru", (32,), 3 * 32 * (14 + 32 + 1)), ("dense", (1,), 33)],
    "conv_dilated": [
        ("causalconv1d", (240, 30), 2 * 14 * 30 + 30),
        *[("causalconv1d", (240, 30), 2 * 30 * 30 + 30)] * 7,
        ("laststep", (30,), 0),
        ("dense", (1,), 31),
    ],
}
# The book gives the totals of `lstm` and `gru` too.
TOTALS = {
    "conv": 1_315_937,
    "conv_only": 12_609,
    "conv_gru": 13_697,
    "lstm": 328_353,
    "gru": 4_545,
    "conv_dilated": 13_711,
}


@pytest.mark.parametrize("name", TABLES)
def test_shapes_and_counts_are_those_of_the_book_and_of_a_count_by_hand(name):
    workload = load(name)
    assert [(row.kind, row.output_shape, row.parameters) for row in workload.summary()] == TABLES[name]
    assert workload.parameters == TOTALS[name]


@pytest.mark.parametrize("name", names())
def test_what_a_workload_says_was_published_is_what_it_computes(name):
    workload = load(name)
    if workload.published is not None:
        assert workload.published.shapes == tuple(row.output_shape for row in workload.summary())
        assert workload.published.layer_parameters == tuple(row.parameters for row in workload.summary())
        assert workload.published.parameters == workload.parameters


@pytest.mark.parametrize("name", names())
def test_weights_add_up_to_the_parameters_and_are_named_after_their_layers(name):
    workload = load(name)
    weights = workload.weights()
    assert sum(map(math.prod, weights.values())) == workload.parameters
    layers = {layer.name for layer in workload.layers}
    assert {weight.split(".")[0] for weight in weights} <= layers


def test_training_settings_are_the_published_ones():
    conv, conv_only, conv_gru = load("conv"), load("conv_only"), load("conv_gru")
    assert {workload.optimizer.rho for workload in (conv, conv_only, conv_gru)} == {0.9}
    assert {workload.optimizer.epsilon for workload in (conv, conv_only, conv_gru)} == {1e-7}
    assert [workload.optimizer.learning_rate for workload in (conv, conv_only, conv_gru)] == [1e-4, 1e-3, 1e-3]
    assert [(w.batch_size, w.epochs, w.steps_per_epoch) for w in (conv, conv_only, conv_gru)] == [
        (128, 10, 157),
        (128, 20, 500),
        (128, 20, 500),
    ]
    assert (conv.data.train_samples, conv.data.samples - conv.data.train_samples) == (20_000, 5_000)
    assert (conv_only.data.lookback, conv_only.data.step, conv_only.data.delay) == (1440, 6, 144)
    assert (conv_gru.data.lookback, conv_gru.data.step, conv_gru.data.delay) == (720, 3, 144)
    gru = conv_gru.layers[3]
    assert (gru.dropout, gru.recurrent_dropout, gru.gate) == (0.1, 0.5, "sigmoid")
    assert [workload.metrics for workload in (conv, conv_only)] == [("loss", "accuracy"), ("loss",)]


def test_training_settings_of_the_comparators_are_those_of_what_they_stand_beside():
    lstm, gru, conv_dilated = load("lstm"), load("gru"), load("conv_dilated")
    assert (lstm.data, lstm.batch_size, lstm.epochs, lstm.steps_per_epoch) == (load("conv").data, 128, 10, 157)
    assert (gru.data, gru.batch_size, gru.epochs, gru.steps_per_epoch) == (load("conv_only").data, 128, 40, 500)
    assert (conv_dilated.data, conv_dilated.batch_size) == (load("conv_gru").data, 128)
    assert (conv_dilated.epochs, conv_dilated.steps_per_epoch) == (20, 500)
    assert {workload.optimizer for workload in (lstm, gru, conv_dilated)} == {RMSprop(learning_rate=1e-3)}
    assert (gru.layers[0].dropout, gru.layers[0].recurrent_dropout, gru.layers[0].gate) == (0.2, 0.2, "sigmoid")
    assert all(workload.published is None for workload in (lstm, gru, conv_dilated))


def test_the_last_time_step_of_the_dilated_convolutions_sees_the_whole_window():
    conv_dilated = load("conv_dilated")
    dilations = [layer.dilation for layer in conv_dilated.layers if isinstance(layer, CausalConv1D)]
    assert dilations == [1, 2, 4, 8, 16, 32, 64, 128]
    seen = 1 + sum(dilations)  # of width 2
    assert seen // 2 < conv_dilated.data.time_steps <= seen  # one layer fewer would not do


def test_masks_are_those_of_layers_with_dropout():
    assert load("conv_gru").masks(8) == {"gru.input": (3, 8, 32), "gru.recurrent": (3, 8, 32)}
    assert load("gru").masks(8) == {"gru.input": (3, 8, 14), "gru.recurrent": (3, 8, 32)}
    assert load("conv_gru").without_dropout().masks(8) == {}
    assert load("conv").masks(8) == load("lstm").masks(8) == {}


# What is refused, and what the message must name.
REFUSED = {
    "Conv1D.filters": lambda: Conv1D("c", filters=0, width=3),
    "Conv1D.width": lambda: Conv1D("c", filters=1, width=2.5),
    "MaxPool1D.size": lambda: MaxPool1D("p", size=-1),
    "Embedding.vocabulary": lambda: Embedding("e", vocabulary="7", units=1),
    "Embedding.units": lambda: Embedding("e", vocabulary=7, units=0),
    "Dense.units": lambda: Dense("d", units=None),
    "GRU.units": lambda: GRU("g", units=0),
    "GRU.dropout": lambda: GRU("g", units=1, dropout=1.0),
    "GRU.recurrent_dropout": lambda: GRU("g", units=1, recurrent_dropout=math.nan),
    "GRU.gate": lambda: GRU("g", units=1, gate="relu"),
    "LSTM.units": lambda: LSTM("l", units=0.5),
    "CausalConv1D.filters": lambda: CausalConv1D("c", filters=-1, width=2, dilation=1),
    "CausalConv1D.width": lambda: CausalConv1D("c", filters=1, width=0, dilation=1),
    "CausalConv1D.dilation": lambda: CausalConv1D("c", filters=1, width=2, dilation=0),
    "RMSprop.learning_rate": lambda: RMSprop(learning_rate=math.nan),
    "rho 1": lambda: RMSprop(learning_rate=1, rho=1),
    "epsilon 0": lambda: RMSprop(learning_rate=1, epsilon=0),
    "Series.lookback": lambda: Series(lookback=100, step=7),
    "Series.delay": lambda: Series(lookback=10, step=1, delay=-1),
    "validation_rows 300000": lambda: Series(lookback=10, step=1, train_rows=300_000),
    "lookback 200000": lambda: Series(lookback=200_000, step=1),
    "Reviews.time_steps": lambda: Reviews(time_steps=0),
    "Reviews.samples": lambda: Reviews(samples=2.5),
    "Reviews.validation_share": lambda: Reviews(validation_share=1.0),
    "Reviews.start": lambda: Reviews(start=10_000),
    "Series.target": lambda: Series(lookback=10, step=1, target=14),
    "MaxPool1D got input shape (5,)": lambda: MaxPool1D("p", size=1).output_shape((5,)),
    "LSTM got input shape (5,)": lambda: LSTM("l", units=1).output_shape((5,)),
    "CausalConv1D got input shape (5,)": lambda: CausalConv1D("c", 1, 2, 1).output_shape((5,)),
    "LastStep got input shape (5, 4, 3)": lambda: LastStep("l").output_shape((5, 4, 3)),
    "conv9 of width 4": lambda: Conv1D("conv9", filters=1, width=4).output_shape((3, 1)),
    "pool9 of size 4": lambda: MaxPool1D("pool9", size=4).output_shape((3, 1)),
    "a b": lambda: dataclasses.replace(load("conv"), name="a b"),
    "conv.batch_size": lambda: dataclasses.replace(load("conv"), batch_size=0),
    "conv_gru.batch_size": lambda: dataclasses.replace(load("conv_gru"), batch_size=12.8),
    "conv.epochs": lambda: dataclasses.replace(load("conv"), epochs=0),
    "conv_only.steps_per_epoch": lambda: dataclasses.replace(load("conv_only"), steps_per_epoch=-1),
    "conv.steps_per_epoch is 156; one pass takes 157": lambda: dataclasses.replace(load("conv"), steps_per_epoch=156),
    "head None": lambda: dataclasses.replace(load("conv"), head=None),
    "head 'logits'": lambda: dataclasses.replace(load("conv_only"), head="logits"),
    "layer name twice": lambda: dataclasses.replace(
        load("conv_only"), layers=(*load("conv_only").layers, Dense("dense", units=1))
    ),
    "Embedding of vocabulary 10000": lambda: dataclasses.replace(load("conv"), layers=load("conv_only").layers),
    "ends in shape (32,)": lambda: dataclasses.replace(load("conv_only"), layers=load("conv_only").layers[:-1]),
}


@pytest.mark.parametrize("named", REFUSED)
def test_a_bad_value_is_refused_by_name(named):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is compared below)
        REFUSED[named]()
    assert named in str(caught.value)


def test_workloads_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load("conv").epochs = 1


def other(value):
    """A value of the same type that is not equal."""
    if isinstance(value, str):
        return value + "_"
    return value + 1 if isinstance(value, int) else value * 2 + 1e-12


def with_field(instance, name, value):
    """A copy with one field changed and no validation: many a single change alone is refused."""
    changed = copy.copy(instance)
    object.__setattr__(changed, name, value)
    return changed


def single_changes(value, path):
    """(path, comparable, changed copy) for every leaf of a tree of dataclasses and tuples, one changed at a time."""
    if dataclasses.is_dataclass(value):
        for entry in dataclasses.fields(value):
            comparable = entry.metadata.get("digest", True)
            for where, below, changed in single_changes(getattr(value, entry.name), f"{path}.{entry.name}"):
                yield where, comparable and below, with_field(value, entry.name, changed)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            for where, below, changed in single_changes(item, f"{path}[{index}]"):
                yield where, below, (*value[:index], changed, *value[index + 1 :])
        yield f"{path} without its last", True, value[:-1]
        yield f"{path} reversed", True, value[::-1]
    elif value is None:
        yield path, True, "something"
    else:
        yield path, True, other(value)


@pytest.mark.parametrize("name", names())
def test_the_digest_changes_with_every_field_that_matters_and_with_no_other(name):
    workload = load(name)
    changes = {path: (comparable, changed) for path, comparable, changed in single_changes(workload, name)}
    seen = {"": workload.digest()}
    for path, (comparable, changed) in changes.items():
        if comparable:
            assert changed.digest() not in seen.values(), path
            seen[path] = changed.digest()
        else:
            assert changed.digest() == workload.digest(), path
    # The marks the walk went by are the right ones: nothing is left out but titles, layer names, what was published,
    # and what says how to look at a result.
    silent = {path for path, (comparable, _) in changes.items() if not comparable}
    layer_names = {f"{name}.layers[{index}].name" for index in range(len(workload.layers))}
    views = {f"{name}.{view}" for view in ("title", "comparator", "quality.metric", "quality.target", "quality.margin")}
    assert {path for path in silent if not path.startswith(f"{name}.published")} == views | layer_names
    # And the walk reached the leaves.
    for leaf in ("name", "head", "loss", "batch_size", "epochs", "optimizer.epsilon", "layers reversed"):
        assert f"{name}.{leaf}" in seen
    assert dataclasses.replace(workload, published=None).digest() == workload.digest()


def test_digests_of_the_published_workloads_are_those_of_results_that_exist():
    assert {name: load(name).digest() for name in PUBLISHED} == {
        "conv": "95595a019678a941",
        "conv_gru": "247c48a99b0e0125",
        "conv_only": "59f83caca7ba79d0",
    }


def test_the_digest_changes_with_the_kind_of_a_layer():
    # Both have nothing but a name: only their kinds tell them apart.
    workload = load("conv_only")
    impostor = dataclasses.make_dataclass("Impostor", [("name", str, dataclasses.field(metadata={"digest": False}))])
    impostor.kind = "other"
    assert isinstance(workload.layers[5], GlobalMaxPool1D)
    swapped = with_field(workload, "layers", (*workload.layers[:5], impostor("pool3"), workload.layers[6]))
    assert swapped.digest() != workload.digest()


def test_the_digest_changes_with_the_meaning_of_results(monkeypatch):
    before = load("conv").digest()
    monkeypatch.setattr(bench.workload, "SEMANTICS", bench.workload.SEMANTICS + 1)
    assert load("conv").digest() != before


def test_equal_workloads_have_equal_digests_however_their_numbers_are_written():
    gru = load("conv_gru").layers[3]
    layers = load("conv_gru").layers
    whole, decimal = (
        dataclasses.replace(load("conv_gru"), layers=(*layers[:3], dataclasses.replace(gru, dropout=share), layers[4]))
        for share in (0, 0.0)
    )
    assert whole == decimal
    assert whole.digest() == decimal.digest()


def test_digests_of_all_workloads_and_settings_differ():
    workloads = [load(name) for name in names()]
    workloads += [load("conv").with_settings(head="as_published"), load("conv_gru").without_dropout()]
    workloads += [load("conv_gru").with_settings(gate="hard_sigmoid")]
    digests = [workload.digest() for workload in workloads]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest in digests)


def test_settings_change_what_they_name_and_defaults_change_nothing():
    conv, conv_gru = load("conv"), load("conv_gru")
    assert conv.with_settings() == conv
    assert conv.with_settings(head="logits").digest() == conv.digest()
    assert conv.with_settings(head="as_published").head == "as_published"
    assert conv_gru.with_settings(gate="hard_sigmoid").layers[3].gate == "hard_sigmoid"
    assert conv_gru.without_dropout().layers[3] == GRU("gru", units=32)


def test_a_setting_the_workload_does_not_have_is_refused():
    with pytest.raises(UsageError, match="--head logits: workload 'conv_only' is a regression"):
        load("conv_only").with_settings(head="logits")
    for name in ("conv", "lstm", "conv_dilated"):
        with pytest.raises(UsageError, match=f"--gate hard_sigmoid: workload '{name}' has no GRU"):
            load(name).with_settings(gate="hard_sigmoid")


def test_a_head_is_one_of_the_workloads_own_and_the_published_sigmoid_of_a_comparator_is_logits():
    assert [load(name).heads for name in ("conv", "conv_only", "lstm")] == [("logits", "as_published"), (), ("logits",)]
    assert load("lstm").with_settings(head="logits") == load("lstm")
    with pytest.raises(UsageError) as caught:
        load("lstm").with_settings(head="as_published")
    assert str(caught.value).startswith("--head as_published: workload 'lstm' was published with a sigmoid")
    assert "\n" not in str(caught.value)


def test_files_are_the_registry():
    assert set(names()) >= {*PUBLISHED, "lstm", "gru", "conv_dilated"}
    assert list(names()) == sorted(names())
    assert names(comparators=False) == PUBLISHED
    for name in names():
        assert isinstance(load(name), Workload)
        assert load(name).name == name


def test_a_dropped_file_is_registered_and_one_that_defines_nothing_is_a_defect(tmp_path, monkeypatch):
    import bench.workloads

    monkeypatch.setattr(bench.workloads, "__path__", [*bench.workloads.__path__, str(tmp_path)])
    (tmp_path / "dropped.py").write_text(
        "import dataclasses\nfrom bench.catalogue import load\n"
        "WORKLOAD = dataclasses.replace(load('conv_only'), name='dropped')\n"
    )
    (tmp_path / "misnamed.py").write_text("from bench.catalogue import load\nWORKLOAD = load('conv')\n")
    assert "dropped" in names()
    assert load("dropped").name == "dropped"
    with pytest.raises(TypeError, match="misnamed"):
        load("misnamed")


def test_an_unknown_workload_is_refused_with_the_known_ones():
    with pytest.raises(UsageError) as caught:
        load("convnet")
    assert "--workload convnet" in str(caught.value)
    assert ", ".join(names()) in str(caught.value)


def test_the_comparator_that_has_no_arm_is_refused_with_where_it_stands():
    with pytest.raises(UsageError) as caught:
        load("naive")
    assert str(caught.value).startswith("--workload naive: ")
    assert "every report of a Jena workload" in str(caught.value)
    assert "\n" not in str(caught.value)
