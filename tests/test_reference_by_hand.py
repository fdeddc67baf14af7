"""The reference against numbers worked out by hand in the comments."""

from math import log, sqrt, tanh

import numpy as np
import pytest

from bench.catalogue import load
from bench.layers import GRU
from bench.reference import loss, metrics, rmsprop_step
from bench.reference_layers import causalconv1d, conv1d, dense, embedding, globalmaxpool1d, laststep, maxpool1d
from bench.reference_recurrent import gru, lstm
from bench.workload import RMSprop

LN2, LN3 = log(2), log(3)
# Used for their exact values: sigmoid(ln 3) = 3/4, sigmoid(-ln 3) = 1/4, tanh(ln 2) = 3/5, tanh(2 ln 2) = 15/17.

# Hand and machine differ by the rounding of a handful of float64 operations on numbers near 1.
ROUNDING = {"rtol": 1e-13, "atol": 1e-14}


def series(*values):
    """One sample with one feature: (1, T, 1)."""
    return np.array(values, float).reshape(1, -1, 1)


def masks(on_input, on_state):
    """One sample, one feature, one unit; gates z, r, h."""
    return {"input": np.reshape(on_input, (3, 1, 1)), "recurrent": np.reshape(on_state, (3, 1, 1))}


def test_embedding_picks_rows_and_sums_the_gradient_over_all_places_of_a_token():
    table = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    y, back = embedding(np.array([[2, 0, 2]]), table)
    np.testing.assert_array_equal(y, [[[5, 6], [1, 2], [5, 6]]])
    _, gradients = back(np.array([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]]))
    np.testing.assert_array_equal(gradients["table"], [[2, 20], [0, 0], [1 + 3, 10 + 30]])


def test_convolution_is_not_flipped_and_relu_stops_the_gradient_of_what_is_not_positive():
    # a_t = 2 x_t + x_(t+1) - 1 over x = 1, -2, 3, 0 is -1, -2, 5; relu leaves 0, 0, 5.
    # dy = 10, 20, 30 becomes da = 0, 0, 30: dkernel = 30 * (3, 0), dbias = 30, dx = 0, 0, 30 * 2, 30 * 1.
    y, back = conv1d(series(1, -2, 3, 0), np.array([2.0, 1.0]).reshape(2, 1, 1), np.array([-1.0]), dilation=1)
    np.testing.assert_array_equal(y, series(0, 0, 5))
    dx, gradients = back(series(10, 20, 30))
    np.testing.assert_array_equal(dx, series(0, 0, 60, 30))
    np.testing.assert_array_equal(gradients["kernel"].ravel(), [90, 0])
    np.testing.assert_array_equal(gradients["bias"], [30])


def test_relu_has_slope_zero_at_zero():
    _, back = conv1d(series(1, 1), np.array([1.0, -1.0]).reshape(2, 1, 1), np.zeros(1), dilation=1)
    dx, gradients = back(series(1))
    assert not dx.any()
    assert not gradients["kernel"].any()


def test_convolution_maps_every_feature_to_every_filter():
    # Width 1: y = x @ kernel. x = (1, 2): filter 0 is 1*1 + 2*3 = 7, filter 1 is 1*2 + 2*4 = 10.
    y, _ = conv1d(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.zeros(2), dilation=1)
    np.testing.assert_array_equal(y, [[[7, 10]]])


def test_a_dilated_causal_convolution_sees_zeros_before_the_series_and_nothing_of_later_steps():
    # a_t = 2 x_(t-2) + x_t - 1 over x = 1, -2, 3, 0 is 0, -3, 4, -5; relu leaves 0, 0, 4, 0.
    # dy = 10, 20, 30, 40 becomes da = 0, 0, 30, 0: dkernel = 30 * (x_0, x_2), dbias = 30, dx_0 = 30 * 2, dx_2 = 30 * 1.
    kernel = np.array([2.0, 1.0]).reshape(2, 1, 1)
    y, back = causalconv1d(series(1, -2, 3, 0), kernel, np.array([-1.0]), dilation=2)
    np.testing.assert_array_equal(y, series(0, 0, 4, 0))
    dx, gradients = back(series(10, 20, 30, 40))
    np.testing.assert_array_equal(dx, series(60, 0, 30, 0))
    np.testing.assert_array_equal(gradients["kernel"].ravel(), [30, 90])
    np.testing.assert_array_equal(gradients["bias"], [30])


def test_the_last_step_is_taken_and_the_gradient_goes_there_alone():
    y, back = laststep(np.array([[[1.0, 6.0], [5.0, 2.0], [3.0, 4.0]]]))
    np.testing.assert_array_equal(y, [[3, 4]])
    np.testing.assert_array_equal(back(np.array([[7.0, 8.0]]))[0], [[[0, 0], [0, 0], [7, 8]]])


def test_pooling_drops_the_tail_and_sends_the_gradient_to_the_first_maximum():
    y, back = maxpool1d(series(1, 4, 4, 2, 6, 6, 9), 2)
    np.testing.assert_array_equal(y, series(4, 4, 6))
    np.testing.assert_array_equal(back(series(5, 7, 8))[0], series(0, 5, 7, 0, 8, 0, 0))


def test_global_pooling_takes_the_maximum_of_every_feature():
    y, back = globalmaxpool1d(np.array([[[1.0, 6.0], [5.0, 2.0], [3.0, 4.0]]]))
    np.testing.assert_array_equal(y, [[5, 6]])
    np.testing.assert_array_equal(back(np.array([[7.0, 8.0]]))[0], [[[0, 8], [7, 0], [0, 0]]])


def test_dense_is_linear():
    # y = 1*3 + 2*4 + 5 = 16; with dy = 2: dx = (6, 8), dkernel = (2, 4), dbias = 2.
    y, back = dense(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([5.0]))
    np.testing.assert_array_equal(y, [[16]])
    dx, gradients = back(np.array([[2.0]]))
    np.testing.assert_array_equal(dx, [[6, 8]])
    np.testing.assert_array_equal(gradients["kernel"], [[2], [4]])
    np.testing.assert_array_equal(gradients["bias"], [2])


def test_gru_resets_the_state_before_the_recurrent_product():
    # Two units, no input, z = 1/2 and r = (1/4, 3/4) throughout, U_h swaps the units: U_h = [[0, u], [u, 0]].
    # Step 1: c = tanh(ln 2, -ln 2) = (0.6, -0.6), h = c/2 = (0.3, -0.3).
    # Step 2: r*h = (0.075, -0.225). With u = ln 2 / 0.075 the recurrent part is (-3 ln 2, ln 2), so
    #         c = tanh(ln 2 - 3 ln 2, -ln 2 + ln 2) = (-15/17, 0), h = (0.15 - 15/34, -0.15).
    # Resetting after the product would make the first argument ln 2 + r_1 * u * (-0.3) = 0 instead.
    u = LN2 / 0.075
    recurrent = np.zeros((2, 6))
    recurrent[0, 5] = recurrent[1, 4] = u
    bias = np.array([0, 0, -LN3, LN3, LN2, -LN2])
    h, _ = gru(np.zeros((1, 2, 1)), np.zeros((1, 6)), recurrent, bias, "sigmoid", {})
    np.testing.assert_allclose(h, [[0.15 - 15 / 34, -0.15]], **ROUNDING)


def test_gru_keeps_the_old_state_in_the_measure_of_z():
    # No recurrent product. z = sigmoid(ln 3) = 3/4. Step 1: c = tanh(ln 2) = 3/5, h = 3/20.
    # Step 2: c = tanh(2 ln 2) = 15/17, h = 3/4 * 3/20 + 1/4 * 15/17 = 9/80 + 15/68.
    kernel, bias = np.array([[0.0, 0.0, LN2]]), np.array([LN3, 0.0, 0.0])
    h, _ = gru(series(1, 2), kernel, np.zeros((1, 3)), bias, "sigmoid", {})
    np.testing.assert_allclose(h, [[9 / 80 + 15 / 68]], **ROUNDING)


HARD = {
    "kernel": np.array([[0.5, 1.0, 1.0]]),
    "recurrent_kernel": np.array([[1.0, -1.0, 2.0]]),
    "bias": np.array([0.0, 0.5, 0.25]),
    "gate": "hard_sigmoid",
}


def test_gru_of_one_unit_over_two_steps_with_hard_gates():
    # x = 1, -1; gates 0.2 a + 0.5.
    # Step 1 (h = 0):     a_z = 0.5, z = 0.6.   a_r = 1.5, r = 0.8.   c = tanh(1.25) = 0.8482836399575129.
    #                     h = 0.4 c = 0.3393134559830052.
    # Step 2: a_z = -0.5 + h = -0.1606865440169948,           z = 0.4678626911966010.
    #         a_r = -1 + 0.5 - h = -0.8393134559830052,       r = 0.3321373088033990.
    #         r h = 0.1126986581109759, a_h = -1 + 2 r h + 0.25 = -0.5246026837780482,
    #         c = tanh(a_h) = -0.4812445574989033.
    #         h' = z h + (1 - z) c = -0.0973360770283208.
    h, back = gru(series(1, -1), **HARD, masks={})
    np.testing.assert_allclose(h, [[-0.0973360770283208]], **ROUNDING)

    # Gradients of h', every gate having slope 0.2. Let k = (1 - z) (1 - c²) of step 2: how a_h moves h'.
    # dU_h = k r h (in step 1 the state is 0).                              dU_z = 0.2 (h - c) h.
    # One step back: dh'/dh = z + 0.2 u_z (h - c) + k u_h (r + 0.2 u_r h),  u_z, u_r, u_h = 1, -1, 2.
    # db_h = k + dh'/dh * 0.4 (1 - c1²).
    # dW_z = 0.2 (h - c2) * -1 + dh'/dh * 0.2 (0 - c1) * 1.
    z2, r2, c2, h1, c1 = (
        0.4678626911966010,
        0.3321373088033990,
        -0.4812445574989033,
        0.3393134559830052,
        0.8482836399575129,
    )
    _, gradients = back(np.ones((1, 1)))
    k = (1 - z2) * (1 - c2**2)
    through = z2 + 0.2 * (h1 - c2) + k * 2 * (r2 - 0.2 * h1)
    assert gradients["recurrent_kernel"][0, 2] == pytest.approx(k * r2 * h1, rel=1e-13)
    assert gradients["recurrent_kernel"][0, 0] == pytest.approx(0.2 * (h1 - c2) * h1, rel=1e-13)
    assert gradients["bias"][2] == pytest.approx(k + through * 0.4 * (1 - c1**2), rel=1e-13)
    assert gradients["kernel"][0, 0] == pytest.approx(-0.2 * (h1 - c2) - through * 0.2 * c1, rel=1e-13)


def test_gru_masks_act_per_gate_and_leave_the_carried_state_alone():
    # As above with d = (2, 0, 1) on the input of z, r, h and m = (0, 2, 2) on the state.
    # Step 1: a_z = 0.5 * 2 = 1, z = 0.7.   c = tanh(1.25) = 0.8482836399575129.   h = 0.3 c = 0.2544850919872539.
    # Step 2: a_z = -1, z = 0.3 (the state is masked out of z).
    #         a_r = 0.5 - 2 h = -0.0089701839745077 (the input is masked out of r), r = 0.4982059632050985.
    #         a_h = -1 + 2 * (r * 2 h) + 0.25 = -0.2428560385006084, c = tanh(a_h) = -0.2381915766449083.
    #         h' = 0.3 h + 0.7 c = -0.0903885760552596: the carried h is not masked.
    h, _ = gru(series(1, -1), **HARD, masks=masks([2.0, 0.0, 1.0], [0.0, 2.0, 2.0]))
    np.testing.assert_allclose(h, [[-0.0903885760552596]], **ROUNDING)


def test_hard_gate_is_the_one_with_slope_a_fifth_and_saturates_with_slope_zero():
    # z = 0.2 * 2 + 0.5 = 0.9 (a/6 + 0.5 would be 5/6), c = 0.6, h = 0.1 * 0.6. At a_z = 3, z = 1: h = 0, dh/db = 0.
    h, _ = gru(series(0), np.zeros((1, 3)), np.zeros((1, 3)), np.array([2.0, 0.0, LN2]), "hard_sigmoid", {})
    np.testing.assert_allclose(h, [[0.06]], **ROUNDING)
    h, back = gru(series(0), np.zeros((1, 3)), np.zeros((1, 3)), np.array([3.0, 0.0, LN2]), "hard_sigmoid", {})
    assert h[0, 0] == 0
    assert not back(np.ones((1, 1)))[1]["bias"].any()


def test_lstm_forgets_takes_in_and_gives_out_by_three_gates():
    # No recurrent product. i = 3/4, f = 1/4, o = 1/2. Step 1: c~ = tanh(ln 2) = 3/5, c = 9/20.
    # Step 2: c~ = tanh(2 ln 2) = 15/17, c = 1/4 * 9/20 + 3/4 * 15/17 = 9/80 + 45/68, h = tanh(c) / 2.
    kernel, bias = np.array([[0.0, 0.0, LN2, 0.0]]), np.array([LN3, -LN3, 0.0, 0.0])
    h, _ = lstm(series(1, 2), kernel, np.zeros((1, 4)), bias)
    np.testing.assert_allclose(h, [[tanh(9 / 80 + 45 / 68) / 2]], **ROUNDING)


def test_lstm_of_one_unit_over_two_steps():
    # x = 1, -1; W = 1/2, 1, 1, -1/2, U = 1, -1, 2, 1/2, b = 0, 1, 1/4, 0 for i, f, c, o; e the logistic function.
    # Step 1 (h = c = 0): i = e(0.5), c~ = tanh(1.25), o = e(-0.5), c = i c~ = 0.52802206719742827, h = o tanh(c).
    # Step 2, from h = 0.18267973413558437: a_i = -0.5 + h, a_f = -1 - h + 1, a_c = -1 + 2 h + 0.25, a_o = 0.5 + h/2,
    #         i = 0.42132895805558654, f = 0.45445665169260675, c~ = -0.36673070561897587, o = 0.64367251432798335,
    #         c = f c + i c~ = 0.085448874592918719, h = o tanh(c) = 0.054867618089078396.
    kernel, recurrent = np.array([[0.5, 1.0, 1.0, -0.5]]), np.array([[1.0, -1.0, 2.0, 0.5]])
    h, back = lstm(series(1, -1), kernel, recurrent, np.array([0.0, 1.0, 0.25, 0.0]))
    np.testing.assert_allclose(h, [[0.054867618089078396]], **ROUNDING)

    # Gradients of the last h. To its c: k = o (1 - tanh(c)²). To the arguments of step 2, with e' = e (1 - e):
    # a_i: k c~ i',  a_f: k c1 f',  a_c: k i (1 - c~²),  a_o: tanh(c) o'. dU is that times h1; db_f has nothing of step
    # 1, where c was 0. One step back: dh1 = a_i - a_f + 2 a_c + a_o / 2, dc1 = k f + dh1 o1 (1 - tanh(c1)²),
    # db_i = a_i + dc1 c~1 i1'.
    i1, g1, o1 = 0.62245933120185456, 0.8482836399575129, 0.37754066879814544
    c1, h1 = 0.52802206719742827, 0.18267973413558437
    i, f, g, o = 0.42132895805558654, 0.45445665169260675, -0.36673070561897587, 0.64367251432798335
    tanh_c = 0.08524151158817479
    k = o * (1 - tanh_c**2)
    a_i, a_f, a_c, a_o = k * g * i * (1 - i), k * c1 * f * (1 - f), k * i * (1 - g**2), tanh_c * o * (1 - o)
    dc1 = k * f + (a_i - a_f + 2 * a_c + a_o / 2) * o1 * (1 - tanh(c1) ** 2)
    dx, gradients = back(np.ones((1, 1)))
    np.testing.assert_allclose(gradients["recurrent_kernel"], [[a_i * h1, a_f * h1, a_c * h1, a_o * h1]], **ROUNDING)
    assert gradients["bias"][1] == pytest.approx(a_f, rel=1e-13)
    assert gradients["bias"][0] == pytest.approx(a_i + dc1 * g1 * i1 * (1 - i1), rel=1e-13)
    assert gradients["kernel"][0, 0] == pytest.approx(dc1 * g1 * i1 * (1 - i1) - a_i, rel=1e-13)
    assert dx[0, 1, 0] == pytest.approx(a_i / 2 + a_f + a_c - a_o / 2, rel=1e-13)


def test_losses_and_metrics_of_two_samples():
    conv, conv_only = load("conv"), load("conv_only")
    # |2 - 0.5| and |-1 - 1|, mean 1.75.
    assert loss(conv_only, np.array([2.0, -1.0]), np.array([0.5, 1.0])) == 1.75
    # p = 3/4 for label 1 and 3/4 for label 0: -(ln 3/4 + ln 1/4) / 2; the second is wrong.
    o, y = np.array([LN3, LN3]), np.array([1.0, 0.0])
    expected = {"loss": pytest.approx(-(log(3 / 4) + log(1 / 4)) / 2, rel=1e-14), "accuracy": 0.5}
    assert metrics(conv, o, y) == expected
    # Raw outputs as probabilities, same figures.
    published = conv.with_settings(head="as_published")
    assert metrics(published, np.array([0.75, 0.75]), y) == expected


def test_a_logit_above_zero_says_positive():
    # 0.3 says positive, 0 and -0.1 negative; the third is wrong.
    assert metrics(load("conv"), np.array([0.3, 0.0, -0.1]), np.array([1.0, 0.0, 1.0]))["accuracy"] == 2 / 3


def test_logits_loss_is_exact_far_from_zero():
    # log(1 + e^o) is o for o = 800 to far below rounding, and e^-800 is 0: no overflow, no NaN.
    assert loss(load("conv"), np.array([800.0, -800.0]), np.array([0.0, 1.0])) == 800


def test_published_head_clips_outputs_and_counts_those_that_round_to_two_as_wrong():
    published = load("conv").with_settings(head="as_published")
    # Outside [0, 1] the loss is that of the clip's ends: -log 1e-7 = 16.118 where wrong, -log(1 - 1e-7) where right.
    assert loss(published, np.array([-3.0]), np.array([1.0])) == pytest.approx(-log(1e-7), rel=1e-9)
    assert loss(published, np.array([1.7]), np.array([1.0])) == pytest.approx(1e-7, rel=1e-6)
    # round: 1.6 to 2 (wrong for label 1), 1.5 to 2, 0.5 to 0 (halves to even), 1.4 to 1, -0.4 to 0.
    o, y = np.array([1.6, 1.5, 0.5, 1.4, -0.4]), np.array([1.0, 1.0, 0.0, 1.0, 0.0])
    assert metrics(published, o, y)["accuracy"] == pytest.approx(3 / 5)


def test_two_rmsprop_steps():
    # rho 3/4, epsilon 3/4, learning rate 1/2, from w = 1, v = 0.
    # g = 1:   v = 1/4,                      root of v + epsilon = 1, w = 1 - 1/2 = 1/2.
    # g = 7/2: v = 3/16 + 49/16 = 13/4,      root of v + epsilon = 2, w = 1/2 - 1/2 * 7/2 / 2 = -3/8.
    rule = RMSprop(learning_rate=0.5, rho=0.75, epsilon=0.75)
    weights, squares = rmsprop_step(rule, {"w": np.array([1.0])}, {"w": np.zeros(1)}, {"w": np.array([1.0])})
    assert (weights["w"], squares["w"]) == (0.5, 0.25)
    weights, squares = rmsprop_step(rule, weights, squares, {"w": np.array([3.5])})
    assert (weights["w"], squares["w"]) == (-0.375, 3.25)


def test_rmsprop_is_the_one_of_keras_3_and_not_its_two_namesakes():
    # One gradient g = 1e-4 from v = 0, learning rate 1: v = (1 - rho) g², the step is g over
    g, rule = 1e-4, RMSprop(learning_rate=1.0)
    keras_3 = g / sqrt(0.1 * g**2 + 1e-7)  # 0.3147: epsilon inside the root, and larger than v here
    keras_2 = g / (sqrt(0.1 * g**2) + 1e-8)  # 3.1613: epsilon outside the root
    torch_defaults = g / (sqrt(0.01 * g**2) + 1e-8)  # 9.9900: rho 0.99 as well
    assert (round(keras_3, 4), round(keras_2, 4), round(torch_defaults, 4)) == (0.3147, 3.1613, 9.99)
    weights, _ = rmsprop_step(rule, {"w": np.zeros(1)}, {"w": np.zeros(1)}, {"w": np.array([g])})
    assert -weights["w"][0] == pytest.approx(keras_3, rel=1e-14)


def test_mask_shapes_of_the_spec_are_those_the_recurrence_takes():
    layer = GRU("gru", units=2, dropout=0.5)
    shapes = layer.masks((4, 3), batch=5)
    drawn = {name: np.ones(shape) for name, shape in shapes.items()}
    h, _ = gru(np.ones((5, 4, 3)), np.ones((3, 6)), np.ones((2, 6)), np.zeros(6), "sigmoid", drawn)
    assert h.shape == (5, 2)
