"""A config, and beside it a string of data that comes only when the workflow is run: a picture to read.

python train.py data=057a9100/...                runs here and now, as plain Python
python train.py -m model.neighbours=1,5 data=…   launches two Flyte executions on the same picture
"""

import hydra
import numpy as np
from flytekit import task, workflow
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

GREY_VALUES = "0123456789abcdefg"


@task
def read_picture(data: str) -> np.ndarray:
    """Turn eight rows of eight grey values (0 is white, g is black), parted by slashes, into a row of 64 numbers."""
    rows = data.split("/")
    if [len(row) for row in rows] != [8] * 8 or not set("".join(rows)) <= set(GREY_VALUES):
        raise ValueError(f"a picture is 8 rows of 8 characters from {GREY_VALUES}, parted by slashes, not {data!r}")
    return np.array([[float(GREY_VALUES.index(grey)) for row in rows for grey in row]])


@task
def classify(cfg: DictConfig, picture: np.ndarray) -> int:
    """Return the digit that most of the nearest pictures show, of those that come with scikit-learn."""
    images, labels = load_digits(return_X_y=True)
    classifier = KNeighborsClassifier(n_neighbors=cfg.model.neighbours, weights=cfg.model.weights)
    return int(classifier.fit(images, labels).predict(picture)[0])


@workflow
def read_digit(cfg: DictConfig, data: str) -> int:
    """``cfg`` takes the whole config, ``data`` the value of its name."""
    return classify(cfg=cfg, picture=read_picture(data=data))


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> int:
    digit = read_digit(cfg=cfg, data=cfg.data)
    print(f"digit: {digit}")
    return digit


if __name__ == "__main__":
    main()
