"""Writes golden.json: SHAP values of a linear model and of small networks, for tests/it/shap_golden.rs.

    python3 -m venv target/shap && target/shap/bin/pip install -r tests/golden/shap/requirements.txt
    target/shap/bin/python tests/golden/shap/shap_golden.py

The linear model is explained by `shap.LinearExplainer` over rows of background: its values are exact, so they are compared
to 1e-9.

The networks have the layers of the engine's `mlp`. The engine explains them by integrated gradients from the means of the
columns. `shap.GradientExplainer` (expected gradients, Erion and others 2021) draws a background row and a point of the way
from it to the row, and takes the mean of gradient times difference. With one background row, the means, its expectation is
the integral itself, so both agree but for the chance of the draws. That is told by the spread of independent runs: the mean
of the runs and its standard error are stored. The package sums its draws in 32 bits, one after another, which in one long run
adds an error that its own variance does not tell; so runs are short and their mean is taken in 64 bits. Shapley values
(KernelExplainer, ExactExplainer) are something else for such a network: with one background row they equal the integral only
where the network is a sum of functions of single columns.
"""

import json
import os
import pathlib

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import numpy as np
import shap
import tensorflow as tf

COLUMNS, WIDTH, BLOCKS, HORIZONS, KEYS, DAYS = 3, 6, 2, 2, 2, 7
# Runs of so many draws for each value.
RUNS, SAMPLES = 400, 1_000


def linear(rng):
    """A linear model with an intercept, rows of background and rows to explain."""
    coefficients, intercept = rng.normal(size=COLUMNS), 3.5
    background = rng.normal([60.0, 20.0, 5.0], [10.0, 6.0, 2.0], size=(50, COLUMNS))
    rows = rng.normal([60.0, 20.0, 5.0], [20.0, 9.0, 4.0], size=(8, COLUMNS))
    explainer = shap.LinearExplainer((coefficients, intercept), background)
    return {
        "coefficients": coefficients.tolist(),
        "intercept": intercept,
        "means": background.mean(axis=0).tolist(),
        "rows": rows.tolist(),
        "baseline": float(explainer.expected_value),
        "forecasts": (rows @ coefficients + intercept).tolist(),
        "shares": explainer.shap_values(rows).tolist(),
    }


def weights_of(rng, anchors):
    """Matrices in the order of the engine's state: inputs, bias, slots, days, blocks, outputs, bias, keys."""
    outputs = HORIZONS * (1 + anchors)
    shapes = [(2 * COLUMNS, WIDTH), (1, WIDTH), (1, WIDTH), (DAYS, WIDTH)]
    shapes += [(WIDTH, WIDTH), (1, WIDTH), (WIDTH, WIDTH)] * BLOCKS
    shapes += [(WIDTH, outputs), (1, outputs), (KEYS, WIDTH)]
    return [rng.normal(scale=0.6, size=shape).astype(np.float32) for shape in shapes]


def model_of(weights, scales, anchors, key, day):
    """The forecasts of one key by the values of the columns, none of them missing."""
    mean, spread = (np.float32(scales[name]) for name in ("means", "spreads"))
    target_mean, target_spread = np.float32(scales["target_mean"]), np.float32(scales["target_spread"])

    def forecast(values):
        scaled = (values - mean) / spread
        hidden = scaled @ tf.constant(weights[0][:COLUMNS]) + weights[1] + weights[2] + weights[3][day] + weights[-1][key]
        for block in range(BLOCKS):
            inner, bias, outer = weights[4 + 3 * block : 7 + 3 * block]
            hidden = hidden + tf.nn.relu(hidden @ tf.constant(inner) + bias) @ tf.constant(outer)
        made = hidden @ tf.constant(weights[-3]) + weights[-2]
        result = made[:, :HORIZONS]
        if anchors:
            gates = tf.reshape(made[:, HORIZONS:], (-1, HORIZONS, len(anchors)))
            # Anchors are values of columns, in the target's scale.
            of_target = (tf.gather(values, anchors, axis=1) - target_mean) / target_spread
            result = result + tf.reduce_sum(tf.nn.softmax(gates, axis=2) * of_target[:, None, :], axis=2)
        return result * target_spread + target_mean

    # The package takes the output of the last layer for that of the model: all of it is one layer.
    inputs = tf.keras.Input((COLUMNS,))
    return tf.keras.Model(inputs, tf.keras.layers.Lambda(forecast, output_shape=(HORIZONS,))(inputs))


def by_horizon(values):
    """What the explainer says of one row, an array of (row, column, horizon), as horizons by columns."""
    return np.asarray(values, dtype=float)[0].T


def network(rng, anchors):
    """A network, a row to explain for each key, and its values by key, horizon and column."""
    weights = weights_of(rng, len(anchors))
    scales = {"means": [60.0, 20.0, 5.0], "spreads": [10.0, 6.0, 2.0], "target_mean": 58.0, "target_spread": 12.0}
    background = np.array([scales["means"]], dtype=np.float32)
    # Whole 32nds are the same in the 32 bits of the network and in the 64 of the file.
    rows = np.round(rng.normal(scales["means"], np.array(scales["spreads"]) * 1.5, size=(KEYS, COLUMNS)) * 32) / 32
    day = 3
    baselines, forecasts, shares, errors = [], [], [], []
    for key, row in enumerate(rows):
        model = model_of(weights, scales, anchors, key, day)
        row = row[None].astype(np.float32)
        baselines.append(np.asarray(model(background)[0], dtype=float).tolist())
        forecasts.append(np.asarray(model(row)[0], dtype=float).tolist())
        # One batch for a run: by itself the package takes 50 draws at a time.
        explainer = shap.GradientExplainer(model, background, batch_size=SAMPLES)
        runs = [by_horizon(explainer.shap_values(row, nsamples=SAMPLES, rseed=seed)) for seed in range(RUNS)]
        shares.append(np.mean(runs, axis=0).tolist())
        errors.append((np.std(runs, axis=0, ddof=1) / np.sqrt(RUNS)).tolist())
    return {
        "anchors": anchors,
        "weights": [float(value) for matrix in weights for value in matrix.reshape(-1)],
        **scales,
        "rows": rows.tolist(),
        "baselines": baselines,
        "forecasts": forecasts,
        "shares": shares,
        "standard_errors": errors,
        "runs": RUNS,
        "samples": SAMPLES,
    }


def main():
    rng = np.random.default_rng(20260301)
    golden = {
        "versions": {"shap": shap.__version__, "numpy": np.__version__, "tensorflow": tf.__version__},
        "shape": {"columns": COLUMNS, "width": WIDTH, "blocks": BLOCKS, "horizons": HORIZONS, "keys": KEYS},
        "linear": linear(rng),
        "networks": [network(rng, []), network(rng, [0, 1])],
    }
    path = pathlib.Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
