"""Values of every type that needs no library of data frames: each is looked at in a task, passed on, and given back."""

# ruff: noqa: UP007, UP035, UP045  # flytekit treats the older spellings of types on their own: they count

import enum
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Iterator, NamedTuple, Optional, Union

import numpy as np
from flytekit import HashMethod, task, workflow
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile, PNGImageFile
from flytekit.types.iterator import JSON
from flytekit.types.pickle import FlytePickle
from google.protobuf.struct_pb2 import Struct
from pydantic import BaseModel


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Layer:
    width: int
    scale: float = 1.0
    names: list[str] = field(default_factory=list)


@dataclass
class Network:
    layers: list[Layer]
    best: Optional[Layer] = None
    by_name: dict[str, Layer] = field(default_factory=dict)
    colour: Colour = Colour.RED
    note: str | None = None
    made_at: Optional[datetime] = None
    number: Union[int, str] = 0


@dataclass
class WithFile:
    file: FlyteFile
    count: int


class Rate(BaseModel):
    start: float
    steps: int = 1


class Settings(BaseModel):
    rate: Rate
    colour: Colour = Colour.RED
    tags: list[str] = []
    warm_up: Optional[Rate] = None
    others: dict[str, Rate] = {}


class Plain:
    """A class of nobody's: it travels as a pickle."""

    def __init__(self, secret: int) -> None:
        self.secret = secret

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and other.secret == self.secret

    def __hash__(self) -> int:
        return hash(self.secret)


class Several(NamedTuple):
    number: int
    text: str
    layer: Layer


def shout(text: str) -> str:
    return text.upper()


Hashed = Annotated[str, HashMethod(shout)]
Wide = Annotated[int, "an annotation that means nothing to Flyte"]
TextFile = FlyteFile["txt"]
CsvDirectory = FlyteDirectory["csv"]


@task
def keep_int(x: int) -> int:
    assert type(x) is int
    return x


@task
def keep_float(x: float) -> float:
    assert type(x) is float
    return x


@task
def keep_bool(x: bool) -> bool:
    assert type(x) is bool
    return x


@task
def keep_str(x: str) -> str:
    return x


@task
def keep_datetime(x: datetime) -> datetime:
    assert x.tzinfo is not None
    return x


@task
def keep_date(x: date) -> date:
    return x


@task
def keep_timedelta(x: timedelta) -> timedelta:
    return x


@task
def keep_enum(x: Colour) -> Colour:
    assert type(x) is Colour
    return x


@task
def keep_dataclass(x: Network) -> Network:
    assert all(type(layer.width) is int for layer in x.layers)
    return x


@task
def keep_model(x: Settings) -> Settings:
    assert type(x) is Settings
    return x


@task
def keep_list(x: list[list[int]]) -> list[list[int]]:
    return x


@task
def keep_dict(x: dict[str, list[float]]) -> dict[str, list[float]]:
    return x


@task
def keep_json(x: dict) -> dict:
    return x


@task
def keep_optional(x: Optional[int]) -> Optional[int]:
    return x


@task
def keep_union(x: Union[int, str, Layer, list[int]]) -> Union[int, str, Layer, list[int]]:
    return x


@task
def keep_optional_enum(x: Colour | None) -> Colour | None:
    return x


@task
def keep_file(x: TextFile) -> TextFile:
    assert Path(x.download()).read_text() == "in a file"
    return x


@task
def keep_image(x: PNGImageFile) -> PNGImageFile:
    assert Path(x).read_bytes().startswith(b"\x89PNG")
    return x


@task
def keep_any_file(x: FlyteFile) -> str:
    with open(x) as file:
        return file.read()


@task
def make_file(text: str) -> FlyteFile:
    path = Path("made.txt")
    path.write_text(text)
    return FlyteFile(path=str(path.absolute()))


@task
def keep_path(x: Path) -> str:
    return x.read_text()


@task
def keep_directory(x: FlyteDirectory) -> FlyteDirectory:
    names = sorted(path.name for path in Path(x.download()).rglob("*") if path.is_file())
    assert names == ["one.csv", "two.csv"], names
    return x


@task
def keep_csv_directory(x: CsvDirectory) -> list[str]:
    return sorted(path.read_text() for path in Path(x).rglob("*.csv"))


@task
def make_directory() -> FlyteDirectory:
    folder = Path("made").absolute()
    (folder / "deep").mkdir(parents=True)
    (folder / "one.txt").write_text("1")
    (folder / "deep" / "two.txt").write_text("2")
    return FlyteDirectory(path=str(folder))


@task
def look_into(x: FlyteDirectory) -> list[str]:
    root = Path(x.download())
    return sorted(f"{path.relative_to(root)}={path.read_text()}" for path in root.rglob("*.txt"))


@task
def keep_file_in_dataclass(x: WithFile) -> str:
    with open(x.file) as file:
        return file.read() * x.count


@task
def keep_files(x: list[FlyteFile]) -> list[FlyteFile]:
    return x


@task
def keep_array(x: np.ndarray) -> np.ndarray:
    return x * 2


@task
def keep_pickle(x: Plain) -> Plain:
    assert type(x) is Plain
    return x


@task
def keep_flyte_pickle(x: FlytePickle[Plain]) -> FlytePickle[Plain]:
    return x


@task
def keep_message(x: Struct) -> Struct:
    assert type(x) is Struct
    return x


@task
def keep_iterator(x: Iterator[JSON]) -> Iterator[JSON]:
    for item in x:
        yield {"seen": item}


@task
def make_iterator(n: int) -> Iterator[JSON]:
    yield from ({"number": number} for number in range(n))


@task
def files_one_by_one(x: Iterator[FlyteFile]) -> list[str]:
    return [Path(file).read_text() for file in x]


@task
def keep_annotated(x: Wide) -> Wide:
    return x


@task
def hashes(x: str) -> Hashed:
    return x


@task
def several(x: int) -> Several:
    return Several(x, str(x), Layer(x))


@task
def takes_several(number: int, text: str, layer: Layer) -> str:
    return f"{number} {text} {layer.width}"


@task
def keep_nested_containers(x: dict[str, list[Network]]) -> dict[str, list[Network]]:
    return x


@task
def keep_list_of_unions(x: list[Union[int, str, None]]) -> list[Union[int, str, None]]:
    return x


@task
def keep_any(x: Any) -> Any:
    return x


@task
def keep_tuple_free_mapping(x: dict[int, str]) -> dict[int, str]:
    return x


@workflow
def integers(x: int) -> int:
    return keep_int(x=keep_int(x=x))


@workflow
def floats(x: float) -> float:
    return keep_float(x=keep_float(x=x))


@workflow
def booleans(x: bool) -> bool:
    return keep_bool(x=keep_bool(x=x))


@workflow
def texts(x: str) -> str:
    return keep_str(x=keep_str(x=x))


@workflow
def instants(x: datetime) -> datetime:
    return keep_datetime(x=keep_datetime(x=x))


@workflow
def dates(x: date) -> date:
    return keep_date(x=keep_date(x=x))


@workflow
def durations(x: timedelta) -> timedelta:
    return keep_timedelta(x=keep_timedelta(x=x))


@workflow
def enums(x: Colour) -> Colour:
    return keep_enum(x=keep_enum(x=x))


@workflow
def dataclasses(x: Network) -> Network:
    return keep_dataclass(x=keep_dataclass(x=x))


@workflow
def models(x: Settings) -> Settings:
    return keep_model(x=keep_model(x=x))


@workflow
def lists(x: list[list[int]]) -> list[list[int]]:
    return keep_list(x=keep_list(x=x))


@workflow
def dicts(x: dict[str, list[float]]) -> dict[str, list[float]]:
    return keep_dict(x=keep_dict(x=x))


@workflow
def json_objects(x: dict) -> dict:
    return keep_json(x=keep_json(x=x))


@workflow
def integer_keys(x: dict[int, str]) -> dict[int, str]:
    return keep_tuple_free_mapping(x=keep_tuple_free_mapping(x=x))


@workflow
def optionals(x: Optional[int], y: Optional[int] = None) -> tuple[Optional[int], Optional[int]]:
    return keep_optional(x=keep_optional(x=x)), keep_optional(x=y)


@workflow
def unions(
    a: Union[int, str, Layer, list[int]], b: Union[int, str, Layer, list[int]]
) -> tuple[Union[int, str, Layer, list[int]], Union[int, str, Layer, list[int]]]:
    return keep_union(x=keep_union(x=a)), keep_union(x=keep_union(x=b))


@workflow
def optional_enums(x: Colour | None) -> Colour | None:
    return keep_optional_enum(x=keep_optional_enum(x=x))


@workflow
def files(x: TextFile) -> TextFile:
    return keep_file(x=keep_file(x=x))


@workflow
def images(x: PNGImageFile) -> PNGImageFile:
    return keep_image(x=keep_image(x=x))


@workflow
def made_files(text: str) -> tuple[str, FlyteFile]:
    made = make_file(text=text)
    return keep_any_file(x=made), made


@workflow
def paths(x: Path) -> str:
    return keep_path(x=x)


@workflow
def directories(x: FlyteDirectory) -> FlyteDirectory:
    return keep_directory(x=keep_directory(x=x))


@workflow
def typed_directories(x: CsvDirectory) -> list[str]:
    return keep_csv_directory(x=x)


@workflow
def made_directories() -> tuple[list[str], FlyteDirectory]:
    made = make_directory()
    return look_into(x=made), made


@workflow
def files_in_dataclasses(x: WithFile) -> str:
    return keep_file_in_dataclass(x=x)


@workflow
def lists_of_files(x: list[FlyteFile]) -> list[FlyteFile]:
    return keep_files(x=keep_files(x=x))


@workflow
def arrays(x: np.ndarray) -> np.ndarray:
    return keep_array(x=keep_array(x=x))


@workflow
def pickles(x: Plain) -> Plain:
    return keep_pickle(x=keep_pickle(x=x))


@workflow
def flyte_pickles(x: FlytePickle[Plain]) -> FlytePickle[Plain]:
    return keep_flyte_pickle(x=keep_flyte_pickle(x=x))


@workflow
def messages(x: Struct) -> Struct:
    return keep_message(x=keep_message(x=x))


@workflow
def json_iterators(n: int) -> Iterator[JSON]:
    return keep_iterator(x=make_iterator(n=n))


@workflow
def file_iterators(x: list[FlyteFile]) -> list[str]:
    return files_one_by_one(x=x)


@workflow
def annotated(x: Wide) -> Wide:
    return keep_annotated(x=keep_annotated(x=x))


@workflow
def hashed(x: str) -> str:
    return keep_str(x=hashes(x=x))


@workflow
def named_outputs(x: int) -> tuple[str, Layer]:
    made = several(x=x)
    return takes_several(number=made.number, text=made.text, layer=made.layer), made.layer


@workflow
def nested_containers(x: dict[str, list[Network]]) -> dict[str, list[Network]]:
    return keep_nested_containers(x=keep_nested_containers(x=x))


@workflow
def lists_of_unions(x: list[Union[int, str, None]]) -> list[Union[int, str, None]]:
    return keep_list_of_unions(x=keep_list_of_unions(x=x))


@workflow
def anything(x: Any) -> Any:
    return keep_any(x=keep_any(x=x))
