"""Learns the samples that the benchmark wrote with River's linear models, one per sensor; prints what it measured as JSON.

The file holds, in 64-bit little-endian numbers: steps, sensors, features, steps ahead, the first step that is scored; then for
each step the features of each sensor, then for each step the value of each sensor. NaN: missing.

What River leaves to its user is chosen by the MAE of the second half of the steps that are not scored, by models that have
seen nothing else; those that are measured start anew.
"""

import array
import json
import math
import sys
import time

from river import linear_model, optim, preprocessing

RATES = [0.001, 0.003, 0.01, 0.03, 0.1]


def read(path):
    """Rows of each step and sensor as the dictionaries that River takes, `None` where a feature is missing; labels."""
    numbers = array.array("d")
    with open(path, "rb") as file:
        numbers.frombytes(file.read())
    if sys.byteorder == "big":
        numbers.byteswap()
    steps, sensors, width, ahead, scored_from = (int(number) for number in numbers[:5])
    names = [f"x{column}" for column in range(width)]
    labels_at = 5 + steps * sensors * width
    rows = []
    for start in range(5, labels_at, width):
        values = numbers[start : start + width]
        rows.append(dict(zip(names, values)) if all(map(math.isfinite, values)) else None)
    return rows, numbers[labels_at:], steps, sensors, ahead, scored_from


def measure(make, samples):
    """Learns, then forecasts, as the engine does. The clock runs over learning and forecasting alone."""
    rows, labels, steps, sensors, ahead, scored_from = samples
    models = [make() for _ in range(sensors)]
    forecasts = [math.nan] * (steps * sensors)
    learned, seconds = 0, 0.0
    for step in range(steps):
        started = time.perf_counter()
        for sensor, model in enumerate(models):
            now = step * sensors + sensor
            before = now - ahead * sensors
            if before >= 0 and rows[before] is not None and math.isfinite(labels[now]):
                model.learn_one(rows[before], labels[now])
                learned += 1
            if rows[now] is not None:
                forecasts[now] = model.predict_one(rows[now])
        seconds += time.perf_counter() - started
    errors = []
    for origin in range(scored_from * sensors, (steps - ahead) * sensors):
        label = labels[origin + ahead * sensors]
        if math.isfinite(label) and rows[origin] is not None:
            errors.append(abs(forecasts[origin] - label))
    return {"samples_per_s": learned / seconds, "mae": sum(errors) / len(errors), "labels": len(errors)}


def plain(model):
    return preprocessing.StandardScaler() | model


def scaled(model):
    return preprocessing.TargetStandardScaler(plain(model))


def linear_regression(rate):
    return linear_model.LinearRegression(optimizer=optim.SGD(rate), intercept_lr=rate)


def candidates():
    """By name of the model, what it may be set to: what is said of it, and what makes it."""
    choices = {"LinearRegression": {}, "BayesianLinearRegression": {}}
    for rate in RATES:
        said = f"StandardScaler, SGD({rate})"
        choices["LinearRegression"][said] = lambda rate=rate: plain(linear_regression(rate))
        choices["LinearRegression"][f"TargetStandardScaler, {said}"] = lambda rate=rate: scaled(linear_regression(rate))
    # It has no intercept: the target is scaled in any case.
    for smoothing in [None, 0.999, 0.99]:
        said = f"TargetStandardScaler, StandardScaler, smoothing={smoothing}"
        choices["BayesianLinearRegression"][said] = lambda smoothing=smoothing: scaled(
            linear_model.BayesianLinearRegression(smoothing=smoothing)
        )
    return choices


def main():
    samples = read(sys.argv[1])
    rows, labels, _, sensors, ahead, scored_from = samples
    warm_up = (rows, labels, scored_from, sensors, ahead, scored_from // 2)
    measured = {}
    for name, choices in candidates().items():
        # A rate that is too large ends in no number, or in an overflow.
        def warm_up_mae(said):
            try:
                mae = measure(choices[said], warm_up)["mae"]
            except (OverflowError, ValueError):
                return math.inf
            return mae if math.isfinite(mae) else math.inf

        said = min(choices, key=warm_up_mae)
        measured[name] = {"set": said, **measure(choices[said], samples)}
    json.dump(measured, sys.stdout, allow_nan=False)


if __name__ == "__main__":
    main()
