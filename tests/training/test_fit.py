import os
import signal
import threading

import numpy as np
import pytest

import neocog
from neocog.budgets import budgets
from neocog.data import Split, decoding
from neocog.training import Callback, NonFiniteLossError


def lines():
    return neocog.data.line_patterns("b")


def quick(network=None, data=None, **arguments):
    settings = {"optimizer": neocog.SGD(lr=0.1), "epochs": 2, "batch_size": 18, "rng": 0} | arguments
    network = network or neocog.models.tiny_cnn(3)
    return neocog.fit(network, lines() if data is None else data, **settings)


class AtBatch(Callback):
    """Call a function before the n-th step ends."""

    def __init__(self, n, function):
        self.n, self.function, self.seen = n, function, 0

    def on_batch(self, run):
        self.seen += 1
        if self.seen == self.n:
            self.function(run)


def test_the_first_row_is_the_untrained_network():
    network, data = neocog.models.tiny_cnn(3), lines()
    before = neocog.evaluate(network, *data.validation)
    history = quick(network, data)
    assert history["epoch"] == [0, 1, 2]
    assert history["val_loss"][0] == before.loss
    assert history["val_accuracy"][0] == before.accuracy
    assert np.isnan(history["running_loss"][0])
    assert history["lr"][1:] == [0.1, 0.1]


def test_zero_epochs_only_measure():
    network = neocog.models.tiny_cnn(3)
    before = {name: array.copy() for name, array in network.params.items()}
    assert len(quick(network, epochs=0)) == 1
    for name, array in network.params.items():
        np.testing.assert_array_equal(array, before[name])


def test_running_loss_is_the_mean_of_the_batch_losses():
    losses = []

    class Watch(Callback):
        def on_batch(self, run):
            losses.append(run.batch_losses[-1])

    history = quick(epochs=1, callbacks=[Watch()])
    assert len(losses) == 10
    assert history["running_loss"][1] == pytest.approx(np.mean(losses), rel=1e-15)


def test_a_pair_of_arrays_will_do():
    data = lines()
    history = quick(data=data.train)
    assert np.isnan(history["val_loss"]).all()
    assert history["train_accuracy"][-1] > history["train_accuracy"][0]


def test_the_network_learns_what_it_looks_at():
    network = neocog.models.tiny_cnn(3)
    quick(network, epochs=0)
    assert network.class_names == ("vertical", "horizontal", "diagonal")
    assert network.input_shape == (1, 8, 8)


def test_float64_images_train_a_float32_network():
    network = neocog.models.tiny_cnn(3, dtype="float32")
    quick(network)
    assert all(array.dtype == np.float32 for array in network.params.values())


def test_a_regression_has_no_accuracy(rng):
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 1))
    y = x @ np.array([[1.0], [2.0], [-1.0]])
    network = neocog.Sequential(neocog.Dense(3, 1, rng=0, dtype="float64"))
    history = quick(network, Split((x, y)), loss=neocog.MeanSquaredError(), epochs=60)
    assert history["train_loss"][-1] < 1e-6
    assert np.isnan(history["train_accuracy"]).all()


def test_augmentation_changes_only_what_is_trained_on():
    seen = []

    def blank(images, rng):
        seen.append(images.shape)
        return np.zeros_like(images)

    history = quick(epochs=1, augment=blank)
    assert len(seen) == 10
    # From blank images nothing is learned about the real ones but the frequency of the classes.
    assert history["train_accuracy"][-1] < 0.7


def test_schedules_are_followed():
    history = quick(optimizer=neocog.SGD(lr=neocog.schedules.StepDecay(0.1, every=10, factor=0.5)), epochs=3)
    assert history["lr"][1:] == [0.1, 0.05, 0.025]


def test_the_same_seed_trains_the_same_network():
    one, two = neocog.models.tiny_cnn(3), neocog.models.tiny_cnn(3)
    quick(one, rng=4)
    quick(two, rng=np.random.default_rng(4))
    for name, array in one.params.items():
        np.testing.assert_array_equal(array, two.params[name])


def test_four_networks_train_in_four_threads_like_one():
    alone = neocog.models.tiny_cnn(3)
    quick(alone)
    networks = [neocog.models.tiny_cnn(3) for _ in range(4)]
    threads = [threading.Thread(target=quick, args=(network,)) for network in networks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for network in networks:
        for name, array in network.params.items():
            np.testing.assert_array_equal(array, alone.params[name])


@pytest.fixture
def default_signals():
    """Python's own handlers, even where the tests are run with Ctrl-C ignored."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("default_signals")
def test_sigterm_ends_after_the_batch_too():
    terminate = AtBatch(13, lambda run: signal.raise_signal(signal.SIGTERM))
    assert quick(epochs=5, callbacks=[terminate]).stopped == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("job", [{}, {"TORCHELASTIC_RUN_ID": "a"}])
def test_who_has_lost_another_process_can_say_so_before_torchrun_ends_it(job, monkeypatch):
    def lose(run):
        raise ConnectionError("another process is lost")

    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append("terminated"))
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConnectionError):
        quick(callbacks=[AtBatch(3, lose)])
    signal.raise_signal(signal.SIGTERM)
    assert told == ([] if job else ["terminated"])


@pytest.mark.usefixtures("default_signals")
def test_an_ignored_ctrl_c_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupt = AtBatch(3, lambda run: signal.raise_signal(signal.SIGINT))
    assert quick(callbacks=[interrupt]).stopped == ""


@pytest.mark.usefixtures("default_signals")
def test_ctrl_c_ends_after_the_batch():
    interrupt = AtBatch(13, lambda run: os.kill(os.getpid(), signal.SIGINT))
    history = quick(epochs=5, callbacks=[interrupt])
    assert history.stopped == "interrupted"
    assert interrupt.seen in (13, 14)  # Python may see the signal one step late
    assert history["epoch"] == [0, 1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("default_signals")
def test_a_second_ctrl_c_ends_at_once():
    def twice(run):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        quick(callbacks=[AtBatch(3, twice)])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_callback_can_wish_to_stop():
    class Enough(Callback):
        def on_epoch(self, run):
            return "enough" if run.epoch == 1 else None

    history = quick(epochs=9, callbacks=[Enough()])
    assert history.stopped == "enough"
    assert history["epoch"] == [0, 1]


def test_every_callback_hears_of_every_epoch_even_the_last():
    heard = []

    class Enough(Callback):
        def on_epoch(self, run):
            return "enough" if run.epoch == 1 else None

    class Listen(Callback):
        def on_epoch(self, run):
            heard.append(run.epoch)

    quick(callbacks=[Enough(), Listen()])
    assert heard == [0, 1]


def test_a_loss_that_overflows_says_when_and_where():
    with pytest.raises(NonFiniteLossError) as error:
        quick(neocog.models.tiny_cnn(3), optimizer=neocog.SGD(lr=1e200), epochs=2)
    message = str(error.value)
    assert "epoch 1, batch" in message
    assert "learning rate 1e+200" in message
    assert "layer 'conv1' (Conv2D)" in message or "layer 'dense' (Dense)" in message


def test_the_first_layer_with_a_nan_is_named():
    def poison(run):
        run.network.params["dense.bias"][1] = np.nan

    with pytest.raises(
        NonFiniteLossError, match=r"epoch 1, batch 4.*'dense' .Dense., whose bias had already"
    ):
        quick(callbacks=[AtBatch(3, poison)])


def test_a_failed_run_ends_its_callbacks():
    ended = []

    class Watch(Callback):
        def on_end(self, run):
            ended.append(run.failed)

    with pytest.raises(NonFiniteLossError):
        quick(optimizer=neocog.SGD(lr=1e200), callbacks=[Watch()])
    assert ended == [True]


# Bad input

X, Y = np.zeros((4, 1, 8, 8)), np.array([0, 1, 2, 0])
HOLE = np.where(np.arange(256).reshape(4, 1, 8, 8) == 70, np.nan, 0.0)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ((X[:, 0], Y), ValueError, r"N, C, H, W"),
        ((np.zeros((4, 3, 8, 8)), Y), ValueError, "layer 'conv1': Conv2D needs 1 input channels, got 3"),
        ((np.zeros((4, 1, 9, 12)), Y), ValueError, r"layer 'dense': Dense needs inputs of shape \(N, 27\)"),
        ((np.zeros((4, 1, 2, 8)), Y), ValueError, "larger than the 2x8 image"),
        ((X.astype(np.uint8), Y), TypeError, "training images must be floating point, got uint8"),
        ((HOLE, Y), ValueError, r"training images must be finite, got nan at index \(1, 0, 0, 6\)"),
        ((X + np.inf, Y), ValueError, "training images must be finite, got inf"),
        ((X, Y[:3]), ValueError, "one label an image, got 4 images"),
        ((X, Y + 1), ValueError, "an output for each of the 4 classes"),
        ((X, Y - 1), ValueError, "labels must be at least 0, got -1"),
        ((X, Y.astype(float)), TypeError, "labels must be integers, got float64"),
        ((X, Y * 0), ValueError, "at least two classes"),
        ((X[:1], Y[:1]), ValueError, "at least two classes"),
        ((X[:0], Y[:0]), ValueError, "at least one image"),
        (((X, Y), (HOLE, Y)), ValueError, "validation images must be finite"),
        (X, TypeError, "must be a pair"),
    ],
)
def test_bad_data(data, error, message):
    if isinstance(data, tuple) and isinstance(data[0], tuple):
        data = Split(*data)
    with pytest.raises(error, match=message):
        quick(data=data)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": -1}, ValueError, "epochs must be at least 0"),
        ({"epochs": 1.5}, TypeError, "epochs must be an integer"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"rng": "seed"}, TypeError, "rng must be"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        quick(**arguments)


# Measuring


def test_evaluate_by_hand():
    """Two logits a = [0, ln 3]: softmax 1/4, 3/4; labels 1 and 0: losses ln 4/3 and ln 4, one right."""
    network = neocog.Sequential(neocog.Dense(1, 2, dtype="float64"))
    network.params["0.weight"][...] = [[0.0, np.log(3.0)]]
    loss, accuracy = neocog.evaluate(network, np.ones((2, 1)), np.array([1, 0]))
    assert loss == pytest.approx((np.log(4 / 3) + np.log(4)) / 2, rel=1e-15)
    assert accuracy == 0.5


def test_evaluate_takes_the_softmax_once():
    network, data = neocog.models.tiny_cnn(3), lines()
    whole = neocog.Sequential(network=network, softmax=neocog.layers.Softmax())
    assert neocog.evaluate(whole, *data.validation) == neocog.evaluate(network, *data.validation)
    right = whole.predict_proba(data.validation[0])[range(len(data.validation[1])), data.validation[1]]
    assert neocog.evaluate(whole, *data.validation).loss == pytest.approx(-np.log(right).mean(), rel=1e-5)


def test_images_that_the_augmentation_has_spoilt_are_blamed():
    def spoil(images, rng):
        return images * np.float32("nan")

    with pytest.raises(NonFiniteLossError, match=r"it arose in the images as they were augmented\.$"):
        quick(augment=spoil)


def test_evaluate_does_not_depend_on_the_batch_size():
    network, (x, y) = neocog.models.tiny_cnn(3), lines().train
    whole = neocog.evaluate(network, x, y)
    parts = neocog.evaluate(network, x, y, batch_size=7)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-14)
    assert parts.accuracy == whole.accuracy


def test_predict_and_predict_proba():
    network, (x, _) = neocog.models.tiny_cnn(3), lines().validation
    probabilities = neocog.predict_proba(network, x)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(neocog.predict(network, x), probabilities.argmax(axis=1))


def test_evaluate_refuses_nothing():
    with pytest.raises(ValueError, match="must not be empty"):
        neocog.evaluate(neocog.models.tiny_cnn(), X[:0], Y[:0])


# Images in files


@pytest.fixture
def photos(tmp_path, rng):
    """Dark and bright photos in a folder a class."""
    from PIL import Image

    for name, level in (("dark", 60), ("bright", 190)):
        (tmp_path / name).mkdir()
        for k in range(8):
            pixels = np.clip(rng.normal(level, 20, (8, 8)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{k}.png")
    return neocog.data.image_folder(tmp_path)


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_images_in_files_are_read_once_only_where_they_fit_in_memory(photos, monkeypatch, limit):
    reads = []
    read = decoding.decode
    monkeypatch.setattr(decoding, "decode", lambda *a: reads.append(a[0]) or read(*a))
    monkeypatch.setattr(neocog.training.checks, "IN_MEMORY_BYTES", limit)
    network = neocog.models.digits_cnn(classes=2)
    with budgets(cached=0):
        history = quick(network, photos, epochs=3, batch_size=4)
    # Either once each, or in every epoch's training and in every measurement.
    assert len(reads) == (16 if limit else 13 * 3 + 16 * 4)
    reads.clear()
    again = quick(neocog.models.digits_cnn(classes=2), photos, epochs=3, batch_size=4)
    assert len(reads) == 16  # each once, as they stay decoded
    assert again["train_loss"] == history["train_loss"]
    assert history["train_accuracy"][-1] > 0.5


# Runs that go wrong late, or would


def test_a_network_that_diverges_in_the_last_step_is_no_success():
    """One step an epoch: no batch comes after it to show that it overflowed."""
    saved = []

    class Watch(Callback):
        def on_epoch(self, run):
            saved.append(run.epoch)

    with pytest.raises(NonFiniteLossError, match=r"after epoch 1.*at learning rate 1e.200"):
        quick(epochs=1, batch_size=180, optimizer=neocog.SGD(lr=1e200), callbacks=[Watch()])
    assert saved == [0]  # nothing was told of the spoilt epoch, so nothing has saved it


def test_the_search_for_a_nan_changes_nothing():
    network = neocog.Sequential(neocog.BatchNorm2D(1), *neocog.models.tiny_cnn(dtype="float32"))

    def poison(run):
        run.network.params["5.bias"][1] = np.nan
        poison.statistics = run.network.buffers["0.running_mean"].copy()

    with pytest.raises(NonFiniteLossError):
        quick(network, callbacks=[AtBatch(3, poison)])
    once_more = 0.9 * poison.statistics + 0.1 * 0.24  # the failing batch's own forward, and no second one
    assert network.buffers["0.running_mean"] == pytest.approx(once_more, abs=0.01)


def test_an_end_that_fails_robs_no_other_callback_of_its_own():
    ended = []

    class Fails(Callback):
        def on_end(self, run):
            raise RuntimeError("cannot end")

    class Watch(Callback):
        def on_end(self, run):
            ended.append(True)

    with pytest.raises(RuntimeError, match="cannot end"):
        quick(epochs=0, callbacks=[Watch(), Fails()])
    assert ended == [True]


def test_a_last_batch_of_one_is_refused_at_the_start():
    network = neocog.Sequential(neocog.Flatten(), neocog.BatchNorm1D(64), neocog.Dense(64, 3, rng=0))
    images, labels = lines().train
    with pytest.raises(ValueError, match="must not leave a last batch of one image"):
        quick(network, (images[:19], labels[:19]))


def test_a_generator_may_not_serve_layer_and_batches():
    rng = np.random.default_rng(0)
    network = neocog.Sequential(neocog.Flatten(), neocog.Dropout(0.5, rng=rng), neocog.Dense(64, 3, rng=0))
    with pytest.raises(ValueError, match="rng must not be the generator of a layer"):
        quick(network, rng=rng)


def test_class_names_of_the_network_are_kept_where_the_data_have_none():
    network = neocog.models.tiny_cnn(3)
    network.class_names = ("up", "across", "slanted")
    quick(network, lines().train, epochs=0)
    assert network.class_names == ("up", "across", "slanted")
    quick(network, lines(), epochs=0)
    assert network.class_names == ("vertical", "horizontal", "diagonal")


def test_outputs_that_no_image_is_of_have_numbers_for_names():
    network = neocog.models.tiny_cnn(3, classes=5)
    quick(network, epochs=0)
    assert network.class_names == ("vertical", "horizontal", "diagonal", "3", "4")


def test_a_pair_of_pairs_is_training_and_validation():
    train, validation = lines()
    assert quick(data=(train, validation))["val_accuracy"] == quick(data=lines())["val_accuracy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": neocog.SoftmaxCrossEntropy}, r"loss must be a loss such as SoftmaxCrossEntropy\(\)"),
        ({"optimizer": 0.1}, r"optimizer must be an optimizer such as SGD\(lr=0.1\), got 0.1"),
        ({"callbacks": Callback()}, "callbacks must be a sequence of callbacks"),
        ({"callbacks": [print]}, "callbacks must be a sequence of callbacks"),
        ({"augment": "flip"}, r"augment must be a function .* such as Affine\(degrees=10\), got 'flip'"),
        ({"augment": neocog.data.Affine}, r"augment must be a function .*, got <class .*Affine"),
    ],
)
def test_things_that_are_something_else(arguments, message):
    with pytest.raises(TypeError, match=message):
        quick(**arguments)


def test_labels_that_are_names_get_a_hint():
    with pytest.raises(TypeError, match=r"np\.unique"):
        quick(data=(X, ["a", "b", "c", "a"]))


def test_targets_must_be_finite():
    with pytest.raises(ValueError, match="train targets must be finite"):
        Split((X, np.array([1.0, np.nan, 0.0, 1.0])))


def test_an_optimizer_of_another_network_is_refused():
    sgd = neocog.SGD(lr=0.1, momentum=0.9)
    quick(optimizer=sgd)
    with pytest.raises(ValueError, match="make a new optimizer for another network"):
        quick(neocog.models.tiny_cnn(3, filters=5), optimizer=sgd)


def test_a_network_that_gives_nan_does_not_predict():
    network = neocog.models.tiny_cnn()
    network.params["dense.bias"][0] = np.nan
    with pytest.raises(ValueError, match="the network's outputs must be finite"):
        network.predict(X)


@pytest.mark.parametrize("kernels", ["im2col", "fused"])
def test_whole_weights_are_repetitions(kernels):
    x, t = neocog.data.line_patterns("a").train
    x, t = x[:20], t[:20]
    weight = np.arange(20) % 3  # 0, 1 or 2 of each
    networks = [neocog.models.tiny_cnn(1), neocog.models.tiny_cnn(1)]
    with neocog.use_kernels(kernels):
        first = neocog.fit(networks[0], (x, t), epochs=5, batch_size=40, rng=0, sample_weight=weight)
        repeated = x.repeat(weight, 0), t.repeat(weight)
        second = neocog.fit(networks[1], repeated, epochs=5, batch_size=40, rng=0)
    for column in ("running_loss", "train_loss", "train_accuracy"):
        np.testing.assert_allclose(first[column], second[column], rtol=1e-12)
    for name, array in networks[0].params.items():
        np.testing.assert_allclose(array, networks[1].params[name], atol=1e-13)


@pytest.mark.parametrize("size", [1, 8, 32])
@pytest.mark.parametrize("kernels", ["im2col", "fused"])
def test_weights_count_whatever_the_batch_size(size, kernels):
    """Images all alike, 2 of 20 of class 1, which count 9 times: both are as probable."""
    x, t = np.zeros((200, 1, 2, 2)), (np.arange(200) % 10 == 0).astype(int)
    network = neocog.Sequential(neocog.Flatten(), neocog.Dense(4, 2, rng=0, dtype="float64"))
    weight = np.where(t == 1, 9.0, 1.0)
    cosine = neocog.schedules.Cosine(0.1, 40 * -(-200 // size))
    with neocog.use_kernels(kernels):
        neocog.fit(
            network, (x, t), optimizer=neocog.SGD(cosine), epochs=40, batch_size=size, rng=0,
            sample_weight=weight,
        )  # fmt: skip
    assert network.predict_proba(x[:1])[0, 1] == pytest.approx(0.5, abs=0.02)


def test_weights_all_alike_change_nothing():
    data = neocog.data.line_patterns("a")
    weights = np.full(len(data.train[1]), 7.0), np.full(len(data.validation[1]), 0.1)
    plain, weighted = neocog.models.tiny_cnn(1), neocog.models.tiny_cnn(1)
    first = neocog.fit(plain, data, epochs=2, rng=0)
    second = neocog.fit(weighted, data, epochs=2, rng=0, sample_weight=weights)
    for column in ("running_loss", "train_loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(first[column], second[column], rtol=1e-12)


def test_validation_images_have_weights_of_their_own():
    data = neocog.data.line_patterns("a")
    x, t = data.validation
    weight = np.arange(len(t)) % 5
    network = neocog.models.tiny_cnn(1)
    history = neocog.fit(network, data, epochs=1, rng=0, sample_weight=(None, weight))
    expected = neocog.evaluate(network, x.repeat(weight, 0), t.repeat(weight))
    assert history.last["val_loss"] == pytest.approx(expected.loss, rel=1e-12)
    assert history.last["val_accuracy"] == pytest.approx(expected.accuracy, rel=1e-12)


def test_weights_of_another_run_are_refused(tmp_path):
    x, t = neocog.data.line_patterns("a").train
    path = tmp_path / "c.neocog"

    def run(weight, **more):
        network = neocog.models.tiny_cnn(1)
        callbacks = [neocog.training.Checkpoint(path)]
        neocog.fit(network, (x, t), epochs=1, rng=0, sample_weight=weight, callbacks=callbacks, **more)

    run(np.ones(len(t)))
    run(np.ones(len(t)), resume=path)
    for other in (None, np.arange(len(t))):
        with pytest.raises(neocog.serialization.ModelFileError, match="saved with data"):
            run(other, resume=path)


@pytest.mark.parametrize("weight", [[1.0], "abc", -np.ones(180), np.zeros(180), (None,), (None, [1.0])])
def test_weights_that_are_none(weight):
    with pytest.raises(ValueError):  # noqa: PT011 - NumPy's message for the text, ours for the others
        neocog.fit(neocog.models.tiny_cnn(1), neocog.data.line_patterns("a"), sample_weight=weight)


def test_weighted_evaluation_by_hand():
    network = neocog.Sequential(neocog.Flatten())  # the logits are the pixels
    x, t = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]]).reshape(3, 1, 1, 2), np.array([0, 1, 1])
    result = neocog.evaluate(network, x, t, batch_size=2, sample_weight=[3, 1, 0])
    assert result.accuracy == 0.75
    assert result.loss == pytest.approx((3 * np.log(2) + 2 + np.log(1 + np.exp(-2))) / 4, rel=1e-14)


def test_two_softmaxes_are_one_too_many():
    network = neocog.Sequential(neocog.Flatten(), neocog.Dense(64, 3), neocog.Softmax())
    with pytest.raises(ValueError, match=r"network\.without_softmax\(\)"):
        neocog.fit(network, neocog.data.line_patterns("a"))
    neocog.fit(network.without_softmax(), neocog.data.line_patterns("a"), epochs=1)


def test_weights_may_be_as_large_as_numbers_are():
    x, t = neocog.data.line_patterns("a").train
    networks = [neocog.models.tiny_cnn(1), neocog.models.tiny_cnn(1)]
    for network, weight in zip(networks, (1.0, 1e308), strict=True):
        neocog.fit(network, (x, t), epochs=1, rng=0, sample_weight=np.full(len(t), weight))
    for name, array in networks[0].params.items():
        np.testing.assert_allclose(networks[1].params[name], array, atol=1e-12)


def test_a_loss_that_only_counts_its_right_answers_is_refused():
    class Counting(neocog.SoftmaxCrossEntropy):
        def correct(self, z, t):
            return int((z.argmax(axis=1) == t).sum())

    with pytest.raises(TypeError, match=r"Counting.correct must return one truth value for each of 64"):
        neocog.evaluate(neocog.models.tiny_cnn(1), *neocog.data.line_patterns("a").train, loss=Counting())


def pixels(n=41, size=8):
    return np.random.default_rng(0).random((n, 1, size, size), np.float32), np.arange(n) % 2


def with_batch_norm(norm, side=8):
    """A batch norm on maps of 1 x 1, where the images are as large as the kernel."""
    return neocog.Sequential(
        conv=neocog.Conv2D(1, 4, side, rng=0),
        norm=norm(4),
        flatten=neocog.Flatten(),
        dense=neocog.Dense(4, 2, rng=0),
    )


class NeedsThree(neocog.ReLU):
    """A layer of the user's with a limit of its own."""

    def __init__(self, features):
        super().__init__()

    def check_training_shape(self, input_shape):
        if input_shape[0] < 3:
            raise ValueError(f"NeedsThree needs three images, got {input_shape[0]}.")


@pytest.mark.parametrize(
    ("norm", "images", "batch_size", "message"),
    [
        (
            neocog.BatchNorm2D,
            41,
            20,
            r"a last batch of one image, got 20 for 41 images: layer 'norm': "
            r"BatchNorm2D .* got shape \(1, 4, 1, 1\).*Sizes that work: 19 or 21\.",
        ),
        (neocog.BatchNorm2D, 41, 1, r"a batch of one image, got 1 .*Sizes that work: 3\."),
        (neocog.BatchNorm2D, 3, 2, r"a last batch of one image.*Sizes that work: 3\."),
        (NeedsThree, 2, 32, r"a batch of 2 images.*No batch size works: pass more images\."),
        (
            NeedsThree,
            41,
            13,
            r"a last batch of 2 images.*NeedsThree needs three.*Sizes that work: 12 or 14\.",
        ),
    ],
)
def test_batches_that_a_layer_cannot_be_trained_on_are_found_before_the_first_step(
    norm, images, batch_size, message
):
    network = with_batch_norm(norm)
    before = {name: array.copy() for name, array in {**network.params, **network.buffers}.items()}
    with pytest.raises(ValueError, match=message):
        neocog.fit(network, pixels(images), epochs=1, batch_size=batch_size, rng=0)
    for name, array in {**network.params, **network.buffers}.items():
        np.testing.assert_array_equal(array, before[name])


def test_batch_sizes_that_are_named_work():
    for batch_size in (19, 21, 41, 100):
        network = with_batch_norm(neocog.BatchNorm2D)
        history = neocog.fit(network, pixels(), epochs=1, batch_size=batch_size, rng=0)
        assert np.isfinite(history.last["train_loss"])
    last_of_one = {"epochs": 1, "batch_size": 20, "rng": 0}
    larger = with_batch_norm(neocog.BatchNorm2D)[:2]  # maps of 2 x 2 will do
    wide = neocog.Sequential(**larger.children, flatten=neocog.Flatten(), dense=neocog.Dense(16, 2, rng=0))
    neocog.fit(wide, pixels(size=9), **last_of_one)
    neocog.fit(with_batch_norm(lambda c: neocog.GroupNorm(2, c)), pixels(), **last_of_one)


def test_one_label_for_evaluate_is_no_batch():
    x, y = lines().train
    with pytest.raises(ValueError, match=r"y must have shape \(N,\), one label an image, got a single"):
        neocog.evaluate(neocog.models.tiny_cnn(), x[:1], y[0])


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda y: np.eye(3, dtype=int)[y], r"got \(180, 3\); for one-hot labels pass y.argmax\(axis=1\)"),
        (lambda y: np.eye(3)[y], r"got float64; for one-hot labels pass y.argmax\(axis=1\)"),
        (lambda y: y[:, None], r"got \(180, 1\); pass y\[:, 0\]"),
        (lambda y: y.astype(float), r"got float64; pass y.astype\(int\)"),
        (lambda y: y > 1, r"got bool; pass y.astype\(int\)"),
    ],
)
def test_labels_in_another_form_get_a_hint(change, hint):
    x, y = lines().train
    with pytest.raises((ValueError, TypeError), match=hint):
        quick(data=(x, change(y)))
