"""Train a classifier of handwritten digits in three Flyte tasks, configured by Hydra.

python train.py                                    runs here and now, as plain Python
python train.py -m model.learning_rate=0.1,0.01    launches two Flyte executions and waits for them
"""

from typing import NamedTuple

import hydra
import numpy as np
from flytekit import task, workflow
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


class Digits(NamedTuple):
    """8 x 8 images as rows of 64 grey values from 0 to 1, and the digit that each one shows."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


class Network(NamedTuple):
    """A trained network: one weight matrix and one bias vector per layer."""

    weights: list[np.ndarray]
    biases: list[np.ndarray]


@task
def prepare(cfg: DictConfig) -> Digits:
    """Load the digits that come with scikit-learn and set some aside for the test."""
    images, labels = load_digits(return_X_y=True)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images / 16, labels, test_size=cfg.data.test_share, random_state=cfg.seed, stratify=labels
    )
    return Digits(train_images, train_labels, test_images, test_labels)


@task
def train(cfg: DictConfig, images: np.ndarray, labels: np.ndarray) -> Network:
    """Fit the network that ``cfg.model`` describes with the optimizer that ``cfg.optimizer`` describes."""
    classifier = MLPClassifier(
        hidden_layer_sizes=tuple(cfg.model.hidden_layers),
        learning_rate_init=cfg.model.learning_rate,
        random_state=cfg.seed,
        **cfg.optimizer,
    )
    for epoch in range(1, cfg.epochs + 1):
        classifier.partial_fit(images, labels, classes=np.arange(10))
        print(f"epoch {epoch}/{cfg.epochs}: loss {classifier.loss_:.4f}")
    return Network(classifier.coefs_, classifier.intercepts_)


@task
def evaluate(weights: list[np.ndarray], biases: list[np.ndarray], images: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of test images that the network reads correctly."""
    *hidden_layers, (last_weights, last_biases) = zip(weights, biases, strict=True)
    activations = images
    for layer_weights, layer_biases in hidden_layers:
        activations = np.maximum(activations @ layer_weights + layer_biases, 0)
    predicted = np.argmax(activations @ last_weights + last_biases, axis=1)
    return float(np.mean(predicted == labels))


@workflow
def digits(cfg: DictConfig) -> float:
    """Prepare, train, evaluate: the accuracy on the test images."""
    data = prepare(cfg=cfg)
    network = train(cfg=cfg, images=data.train_images, labels=data.train_labels)
    return evaluate(
        weights=network.weights,
        biases=network.biases,
        images=data.test_images,
        labels=data.test_labels,
    )


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    accuracy = digits(cfg=cfg)
    print(f"accuracy: {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
