"""Training under command: whatever was paused, stepped, gone back to or branched off is exact, bit by bit."""

import copy
import io
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from neocog import runs
from neocog.layers import LeakyReLU
from neocog.optimizers import SGD
from neocog.settings import settings_for
from neocog.studio import live as live_module
from neocog.studio import messages
from neocog.studio.live import Live
from neocog.studio.moments import Moment, thinned
from neocog.studio.protocol import LIMITS
from neocog.training import Callback, fit

SECONDS = 60  # until a test gives up
EPOCHS = 4


class Watched(Live):
    """Training on the line patterns, whose batches are counted; it ends with the test."""

    def __init__(self, network="tiny-cnn", kernels="im2col", **chosen):
        settings = settings_for("lines", network=network, kernels=kernels, **chosen)
        data = runs.open_images(settings)
        split = runs.training_split(settings, data)
        self.frames, self.told, self.happened = [], 0, threading.Condition()
        _, rng = runs.draw_sample(settings, len(split.train[1]))
        made = runs.network_for(settings, split)
        super().__init__(made, split, settings, rng, self.take, messages.encode)

    def take(self, frame):
        with self.happened:
            self.told += 1
            if frame is not None:
                self.frames.append(messages.decode(frame))
            self.happened.notify_all()

    def wait_for(self, happens):
        with self.happened:
            assert self.happened.wait_for(happens, SECONDS), (self.problem, self.rows[-1:])

    def idle(self):
        """Wait until training stands still, and all commands are carried out."""
        self.wait_for(lambda: not self.playing)
        return self.do(lambda state: (state.epoch, len(state.batch_losses))).result(SECONDS)

    def play_until(self, epoch):
        self.play(until=epoch)
        assert self.idle() == (epoch, 0)

    def weights(self):
        return self.do(lambda state: {k: v.copy() for k, v in self.network.params.items()}).result(SECONDS)


@pytest.fixture
def live():
    """Begin trainings; they are ended after the test."""
    begun = []

    def begin(**chosen):
        begun.append(Watched(**chosen))
        begun[-1].start()
        assert begun[-1].ready.wait(SECONDS)
        return begun[-1]

    yield begin
    for each in begun:
        each.close()
    assert not any(thread.name == "neocog-studio-training" for thread in threading.enumerate())


def equal(weights, others):
    return weights.keys() == others.keys() and all(np.array_equal(weights[k], others[k]) for k in weights)


def measures(rows):
    """Return rows without what the clock says."""
    return [[v for name, v in row.items() if name != "seconds" and v == v] for row in rows]


@pytest.fixture(scope="module", params=["im2col", "fused"])
def uninterrupted(request, tmp_path_factory):
    """``neocog train`` itself, with the same settings."""
    settings = settings_for("lines", epochs=EPOCHS, kernels=request.param)
    return request.param, runs.train(settings, tmp_path_factory.mktemp("runs") / "run", io.StringIO())


def test_played_it_is_neocog_train_bit_by_bit(live, uninterrupted):
    kernels, run = uninterrupted
    studio = live(kernels=kernels)
    studio.play_until(EPOCHS)
    assert equal(studio.weights(), run.network.params)
    assert measures(studio.rows) == measures(run.history.rows)


def test_paused_stepped_and_begun_again_it_ends_as_if_it_had_never_stopped(live, uninterrupted):
    kernels, run = uninterrupted
    studio = live(kernels=kernels)
    studio.step("batch", 2)
    assert studio.idle() == (0, 2)
    studio.do(studio.refit).result(SECONDS)  # fit ends, and goes on in the middle of the epoch
    assert studio.idle() == (0, 2)
    per_epoch = studio.state.batches_per_epoch
    studio.step("batch", per_epoch - 2)  # the last one ends the epoch, with its row
    assert studio.idle() == (1, 0)
    assert len(studio.rows) == 2
    studio.step("epoch", 2)
    assert studio.idle() == (3, 0)
    studio.set_speed(200)
    studio.play(until=EPOCHS)
    ticks = studio.tick
    studio.wait_for(lambda: studio.tick > ticks)
    studio.pause()
    assert studio.idle()[0] == 3
    studio.set_speed(None)
    studio.play_until(EPOCHS)
    assert equal(studio.weights(), run.network.params)
    assert measures(studio.rows) == measures(run.history.rows)


def test_back_to_an_epoch_and_on_it_is_the_same_again(live, uninterrupted):
    kernels, run = uninterrupted
    studio = live(kernels=kernels)
    studio.play_until(EPOCHS)
    for epoch in (3, 2, 0):
        studio.do(lambda state, k=epoch: studio.begin_at(studio.moments[k])).result(SECONDS)
        assert studio.idle() == (epoch, 0)
        assert len(studio.rows) == epoch + 1
        studio.play_until(EPOCHS)
        assert equal(studio.weights(), run.network.params)
        assert measures(studio.rows) == measures(run.history.rows)


def test_a_moment_that_was_left_is_not_gone_back_to(live):
    studio = live()
    studio.play_until(3)
    left = studio.moments[3]
    studio.do(lambda state: studio.begin_at(studio.moments[1])).result(SECONDS)
    assert studio.idle() == (1, 0)
    assert sorted(studio.moments) == [0, 1]
    with pytest.raises(ValueError, match="epoch 3 was left"):
        studio.do(lambda state: studio.begin_at(left)).result(SECONDS)
    assert studio.idle() == (1, 0)


def test_a_branch_is_training_from_that_epoch_with_the_other_rate(live):
    """Expected: one ``fit`` whose schedule has the other rate from that epoch on."""
    studio = live(lr=0.12, momentum=0.5)
    studio.play_until(3)
    other = replace(studio.settings, lr=0.6)
    studio.do(lambda state: studio.begin_at(studio.moments[1])).result(SECONDS)
    studio.do(lambda state: studio.apply(other, state)).result(SECONDS)
    studio.play_until(3)
    per_epoch = studio.state.batches_per_epoch
    again = Watched(lr=0.12, momentum=0.5)
    fit(
        again.network,
        again.data,
        optimizer=SGD(lambda step: 0.12 if step < per_epoch else 0.6, momentum=0.5),
        epochs=3,
        batch_size=again.settings.batch_size,
        rng=again.rng,
    )
    assert equal(studio.weights(), again.network.params)


@pytest.mark.parametrize(
    ("other", "holds"),
    [
        ({"momentum": 0.5}, lambda studio: studio.optimizer.momentum == 0.5),
        ({"optimizer": "adam"}, lambda studio: type(studio.optimizer).__name__ == "Adam"),
        ({"augment": "flip"}, lambda studio: studio.state.augment is not None),
    ],
)
def test_what_is_asked_behind_a_rewind_is_carried_out_where_it_leads(live, other, holds):
    """A branch's settings, or an edit, that come before training has begun again at the other epoch."""
    studio = live()
    studio.play_until(3)
    changed = replace(studio.settings, **other)

    def edit(state):
        studio.network.params["conv1.bias"][0] = 7
        studio.edited()

    def at_once(state):
        studio.do(lambda state: studio.begin_at(studio.moments[1]))
        studio.do(lambda state: studio.apply(changed, state))
        studio.do(edit)

    studio.do(at_once).result(SECONDS)
    assert studio.idle() == (1, 0)
    assert len(studio.rows) == 2
    expected = dict(studio.moments[1].arrays)
    expected["conv1.bias"] = np.array([7, *expected["conv1.bias"][1:]])
    assert equal(studio.weights(), expected)
    assert holds(studio)
    studio.play_until(2)


def test_another_rate_holds_from_the_next_batch_on(live):
    studio = live(lr=0.12)
    studio.step("batch", 2)
    studio.idle()
    studio.do(lambda state: studio.apply(replace(studio.settings, lr=0.3), state)).result(SECONDS)
    studio.step("batch", 1)
    studio.idle()
    again = Watched(lr=0.12)

    class Stop(Callback):
        def on_batch(self, state):
            state.requested_stop = "enough" * (len(state.batch_losses) == 3)

    optimizer = SGD(lambda step: (0.12, 0.12, 0.3)[min(step, 2)])
    size, rng = again.settings.batch_size, again.rng
    fit(again.network, again.data, optimizer=optimizer, batch_size=size, rng=rng, callbacks=[Stop()])
    assert equal(studio.weights(), again.network.params)


def test_a_weight_edited_by_hand_is_trained_on_from(live):
    studio = live()
    studio.step("batch", 1)
    studio.idle()
    before = studio.tick

    def edit(state):
        studio.network.params["conv1.weight"][0, 0] = 0.5
        studio.edited()

    studio.do(edit).result(SECONDS)
    assert studio.tick == before + 1
    studio.step("batch", 1)
    studio.idle()
    again = Watched()

    class Edit(Callback):
        def on_batch(self, state):
            if len(state.batch_losses) == 1:
                state.network.params["conv1.weight"][0, 0] = 0.5
            state.requested_stop = "enough" * (len(state.batch_losses) == 2)

    optimizer, size = SGD(again.settings.lr), again.settings.batch_size
    fit(again.network, again.data, optimizer=optimizer, batch_size=size, rng=again.rng, callbacks=[Edit()])
    assert equal(studio.weights(), again.network.params)


def test_another_batch_size_holds_from_the_next_epoch_on(live):
    studio = live(batch_size=18)
    images = len(studio.data.train[1])
    studio.step("batch", 1)
    studio.idle()
    studio.do(lambda state: studio.apply(replace(studio.settings, batch_size=30), state)).result(SECONDS)
    studio.step("batch", 1)
    assert studio.idle() == (0, 2)
    assert studio.state.batch_size == 18
    studio.play_until(1)
    assert studio.state.batches_per_epoch == -(-images // 30)
    studio.step("batch", 1)
    studio.idle()
    studio.do(lambda state: studio.apply(replace(studio.settings, momentum=0.3, batch_size=10), state))
    assert studio.idle() == (1, 1)  # fit has begun again, in the middle of an epoch of 30
    assert studio.state.batch_size == 30
    studio.play_until(2)
    assert studio.state.batch_size == 10
    assert studio.optimizer.momentum == 0.3


def test_at_the_beginning_another_batch_size_holds_at_once(live):
    studio = live(batch_size=18)
    studio.do(lambda state: studio.apply(replace(studio.settings, batch_size=30), state)).result(SECONDS)
    assert studio.state.batch_size == 30


def test_another_optimizer_begins_without_memory_and_the_same_keeps_it(live):
    studio = live(momentum=0.9)
    studio.play_until(1)
    velocity = studio.optimizer.state["velocity"]["conv1.weight"].copy()
    studio.do(lambda state: studio.apply(replace(studio.settings, momentum=0.5), state)).result(SECONDS)
    studio.idle()
    np.testing.assert_array_equal(studio.optimizer.state["velocity"]["conv1.weight"], velocity)
    adam = replace(studio.settings, optimizer="adam", lr=0.01)
    studio.do(lambda state: studio.apply(adam, state)).result(SECONDS)
    studio.play_until(2)
    assert studio.optimizer.steps == studio.state.batches_per_epoch


def test_a_layer_swapped_for_nothing_lets_all_numbers_pass(live):
    studio = live()
    studio.play_until(1)

    def swap(state):
        studio.network["relu1"] = LeakyReLU(1.0)
        studio.refit(state)

    studio.do(swap).result(SECONDS)
    assert studio.idle() == (1, 0)
    x = studio.data.train[0][:5]
    studio.play_until(2)
    conv = studio.network["conv1"].forward(x)[0]
    assert (conv < 0).any()
    np.testing.assert_array_equal(studio.network["relu1"].forward(conv)[0], conv)


def test_nan_is_said_where_it_arose_and_training_goes_on_from_a_good_epoch(live):
    studio = live()
    studio.play_until(2)
    good = studio.weights()

    def spoil(state):
        studio.network.params["conv1.weight"][...] = 1e308
        studio.edited()

    studio.do(spoil).result(SECONDS)
    studio.play()
    studio.wait_for(lambda: studio.problem)
    assert "the loss is not finite in epoch 3, batch 1" in studio.problem
    assert "layer 'conv1' (Conv2D)" in studio.problem
    assert not studio.playing
    studio.play()  # of no use, and said again
    studio.wait_for(lambda: not studio.playing and studio.problem)
    studio.do(lambda state: studio.begin_at(studio.moments[2])).result(SECONDS)
    assert studio.idle() == (2, 0)
    assert equal(studio.weights(), good)
    studio.play_until(3)
    assert studio.problem == ""


def test_frames_are_handed_out_when_they_are_wanted_and_the_newest_only(live):
    studio = live()
    studio.want()
    studio.wait_for(lambda: len(studio.frames) == 1)
    header, arrays = studio.frames[0]
    assert (header["kind"], header["epoch"], header["batch"], header["loss"]) == ("frame", 0, 0, None)
    assert arrays.keys() == {**studio.network.params, **studio.network.buffers}.keys()
    studio.want()  # there is none newer
    studio.do(lambda state: None).result(SECONDS)
    assert len(studio.frames) == 1
    studio.step("batch", 3)
    studio.idle()
    assert len(studio.frames) == 2  # of the first batch of the three; nobody wanted those after it
    assert studio.frames[1][0]["batch"] == 1
    studio.want()
    studio.wait_for(lambda: len(studio.frames) == 3)
    assert studio.frames[2][0]["batch"] == 3
    assert studio.frames[2][0]["loss"] == studio.state.batch_losses[-1]
    expected = {name: array.astype("float32") for name, array in studio.weights().items()}
    assert equal(studio.frames[2][1], expected)


def test_an_epoch_asked_for_before_the_untrained_network_is_measured_is_trained():
    studio = Watched()
    studio.step("epoch", 1)
    studio.start()
    assert studio.ready.wait(SECONDS)
    assert studio.idle() == (1, 0)
    studio.close()


def test_speed_bounds_the_batches_of_a_second(live):
    studio = live()
    studio.set_speed(50)
    began = time.monotonic()
    studio.step("batch", 3)
    studio.idle()
    assert time.monotonic() - began >= 2 / 50
    studio.set_speed(0.01)
    studio.step("batch", 2)
    studio.wait_for(lambda: len(studio.state.batch_losses) == 4)
    studio.pause()  # does not wait for the next one
    assert studio.idle() == (0, 4)
    studio.set_speed(None)
    studio.play_until(1)


class Interrupted(Watched):
    """Training in whose batches something else happens."""

    def __init__(self, happens):
        super().__init__()
        self.happens = happens

    def on_batch(self, state):
        if len(state.batch_losses) == 2:
            self.happens(self)
        super().on_batch(state)


def test_a_pause_while_one_of_several_batches_is_computed_holds():
    studio = Interrupted(lambda studio: studio.pause())
    studio.start()
    studio.step("batch", 5)
    assert studio.idle() == (0, 2)
    assert not studio.playing
    studio.close()


def test_play_while_the_last_of_several_batches_is_counted_holds():
    """Expected: whichever of the two comes first, training goes on and nothing fails."""

    class Counting(Watched):
        other = None

        @property
        def _steps(self):
            asked = self.asked
            if self.other is None and threading.current_thread() is self._thread:
                self.other = threading.Thread(target=self.play, kwargs={"until": 2})
                self.other.start()
                self.other.join(0.1)  # it comes in between, or must wait
            return asked

        @_steps.setter
        def _steps(self, value):
            self.asked = value

    studio = Counting()
    studio.step("batch", 1)
    studio.start()
    studio.wait_for(lambda: studio.problem or (len(studio.rows) == 3 and not studio.playing))
    assert studio.idle() == (2, 0)
    assert studio.problem == ""
    studio.close()


def test_commands_are_carried_out_in_order_and_an_error_is_its_senders(live):
    studio = live()
    done = []
    first = studio.do(lambda state: done.append(1))
    wrong = studio.do(lambda state: 1 / 0)
    last = studio.do(lambda state: done.append(2))
    last.result(SECONDS)
    assert first.done()
    assert done == [1, 2]
    with pytest.raises(ZeroDivisionError):
        wrong.result(SECONDS)
    studio.play_until(1)


def test_what_is_asked_last_before_the_end_is_done(live):
    studio = live()
    studio.play()
    done = []
    studio.close(lambda state: done.append(state.epoch))
    assert len(done) == 1
    assert studio.do(lambda state: None).cancelled()


def test_what_is_asked_last_is_done_even_behind_a_rewind(live):
    studio = live()
    studio.play_until(2)
    places = []

    def end(state):
        studio.do(lambda state: studio.begin_at(studio.moments[1]))
        studio.do(lambda state: places.append(state.epoch))
        studio.closed = True

    studio.do(end).result(SECONDS)
    studio._thread.join(SECONDS)
    assert places == [1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_waits_for_a_thread_that_dies_is_told(live, monkeypatch):
    studio = live()

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(studio, "_carry_out", fail)
    waiting = studio.do(lambda state: None)
    studio._thread.join(SECONDS)
    assert waiting.cancelled()
    assert studio.do(lambda state: None).cancelled()


def test_moments_stay_few_and_small(live, monkeypatch):
    monkeypatch.setitem(LIMITS, "snapshots", 40)
    studio = live()
    studio.play_until(200)
    epochs = sorted(studio.moments)
    assert len(epochs) == LIMITS["snapshots"]
    assert epochs[0] == 0
    assert epochs[-1] == 200
    gaps = np.diff(epochs)
    assert gaps[-10:].max() <= gaps[:10].min()  # thinned with age
    assert sum(moment.nbytes for moment in studio.moments.values()) <= LIMITS["snapshot_bytes"]


def test_what_an_epoch_leaves_is_bounded_and_at_last_training_stands_still(live, monkeypatch):
    """All that grows: rows, moments, the losses of one epoch's batches, hints; and nothing else does."""
    monkeypatch.setattr(live_module, "MOST_EPOCHS", 12)
    monkeypatch.setattr(live_module, "MOST_DIAGNOSED", 5)
    monkeypatch.setitem(LIMITS, "snapshots", 4)
    studio = live()

    def counted():
        sized = {name: len(value) for name, value in vars(studio).items() if hasattr(value, "__len__")}
        return sized | {"batches": len(studio.state.batch_losses), "said": len(studio._diagnose.messages)}

    studio.play_until(6)
    before = counted()
    studio.play()
    studio.idle()
    assert (studio.state.epoch, len(studio.rows)) == (12, 13)
    assert studio.problem.startswith("12 epochs are trained, the most that a session takes")
    after = counted()
    assert {name for name in after if after[name] > before[name]} <= {"rows", "problem", "frames"}
    assert after["moments"] == before["moments"] == 4
    assert sum(map(sys.getsizeof, [studio.rows[-1], *studio.rows[-1].values()])) < 1000  # bytes a row


def test_a_ring_of_large_moments_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setitem(LIMITS, "snapshot_bytes", 10 * 800)
    kept = {}
    for epoch in range(100):
        kept = thinned(kept | {epoch: Moment(epoch, {"w": np.zeros(100)})})
        assert sum(moment.nbytes for moment in kept.values()) <= 8000
    assert len(kept) == 10
    assert min(kept) == 0
    assert max(kept) == 99


def test_a_moment_shares_nothing_with_what_trains(live):
    studio = live()
    studio.play_until(1)
    before = copy.deepcopy(studio.moments[1])
    studio.play_until(3)
    assert equal(studio.moments[1].arrays, before.arrays)
    assert studio.moments[1].rng == before.rng
