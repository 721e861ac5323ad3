"""No YAML file at all: hydraflyte's own config node is the primary config.

python train.py                              runs here and now, as plain Python
python train.py +neighbours=7                the same with an input
python train.py -m +neighbours=1,5,50        launches one Flyte execution per value
"""

import hydra
from flytekit import task, workflow
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier


@task
def score(neighbours: int) -> float:
    """Cross-validate a nearest-neighbours classifier on the digits that come with scikit-learn."""
    images, labels = load_digits(return_X_y=True)
    return float(cross_val_score(KNeighborsClassifier(n_neighbors=neighbours), images, labels, cv=5).mean())


@workflow
def nearest_neighbours(neighbours: int = 5) -> float:
    return score(neighbours=neighbours)


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> float:
    accuracy = nearest_neighbours(**cfg)
    print(f"accuracy: {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
