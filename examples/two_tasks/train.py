"""One config, split for two cached tasks: a change reruns only what it touches.

python train.py                                        runs here and now, as plain Python
python train.py -m training.regularisation=0.01,0.1,1  three executions; the features are computed once
"""

import hydra
import numpy as np
from flytekit import task, workflow
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_score


@task(cache=True, cache_version="1")
def compute_features(features: DictConfig) -> np.ndarray:
    """Reduce the digits that come with scikit-learn to their principal components."""
    images, _ = load_digits(return_X_y=True)
    print(f"computing {features.components} components")
    return PCA(n_components=features.components, svd_solver="full").fit_transform(images / 16)


@task(cache=True, cache_version="1")
def cross_validate(training: DictConfig, components: np.ndarray) -> float:
    """Return the mean accuracy of a ridge classifier on these components."""
    _, labels = load_digits(return_X_y=True)
    print(f"training with regularisation {training.regularisation}")
    classifier = RidgeClassifier(alpha=training.regularisation)
    return float(cross_val_score(classifier, components, labels, cv=training.folds).mean())


@workflow
def digits(features: DictConfig, training: DictConfig) -> float:
    """Each parameter takes the config node of its name."""
    return cross_validate(training=training, components=compute_features(features=features))


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    accuracy = digits(features=cfg.features, training=cfg.training)
    print(f"accuracy: {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
